import type { Counters } from "../core/counters.js";
import type { EngineLook, RoomReport } from "../core/engine.js";
import type { RoomName } from "../protocol/room-name.js";
import type { KeptRevocation } from "../server/auth/revocations.js";
import type { Config } from "../server/config.js";
import type { GatewayCounters } from "../server/gateway-limits.js";
import type { ServerTelemetry } from "../server/server.js";
import type { OtherNodes, RoomOfNode } from "./room-inspection.js";

/** The first thing a child is told; config travels once. */
export interface StartMessage {
  readonly kind: "start";
  readonly config: Config;
  /** The child's place among those of its role. */
  readonly index: number;
  /** How many workers the node has, so that one knows its share. */
  readonly workers: number;
  /** Tokens that were made void before it started. */
  readonly revocations: readonly KeptRevocation[];
  /** Sockets of all hubs. A hub listens on that of its own index; a worker without any hosts the broker itself. */
  readonly hubs: readonly string[];
}

/** The hub that shares revocations with other nodes. */
export const CARRIER_INDEX = 0;

/** From the supervisor. Control only: no message of a room ever travels here. */
export type ToChild =
  | StartMessage
  /** Takes nothing new, sends clients elsewhere over this time, then ends. A hub ends when its workers have. */
  | { readonly kind: "drain"; readonly seconds: number }
  /** Tokens are void from now on. */
  | { readonly kind: "revoke"; readonly kept: readonly KeptRevocation[] }
  /** To a hub: other nodes are to know, and this end what became of that, under this number. */
  | { readonly kind: "carry"; readonly id: number; readonly kept: KeptRevocation }
  /** An operator looks: which rooms are the largest, what is with these, who is slow. Answered by `look`. */
  | { readonly kind: "look"; readonly rooms: readonly RoomName[] }
  /** What a worker has of a room. Answered by `inspected` with the same number. */
  | { readonly kind: "inspect"; readonly id: number; readonly room: RoomName }
  /** To the process that reaches other nodes: what they have of a room. Answered by `nodesAnswered` with the same number. */
  | { readonly kind: "askNodes"; readonly id: number; readonly room: RoomName }
  /** What this node has of it: the answer to `roomAsked`. */
  | { readonly kind: "roomHere"; readonly id: number; readonly room: RoomOfNode }
  /** Every process knows of what this one said under that number, or why they cannot. */
  | { readonly kind: "spread"; readonly id: number; readonly problem: string | undefined };

/** Event-loop delays of a child since its last beat. */
export interface LagReport {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** What a child says of itself with every beat. */
export interface BeatMessage {
  readonly kind: "beat";
  readonly lag: LagReport;
  /** Share of its time, 0 to 1, that the event loop worked since the last beat. */
  readonly utilization: number;
  readonly rssBytes: number;
  /** User and system, since its start. */
  readonly cpuMs: number;
  readonly worker?: WorkerReport;
  readonly hub?: HubReport;
}

export interface WorkerReport {
  readonly connections: number;
  readonly rooms: number;
  /** Every hub is reached, or the broker that it hosts itself is there. */
  readonly brokerAvailable: boolean;
  /** Its streams that do not answer, though others do. */
  readonly brokerAway?: readonly string[];
  readonly counters: {
    readonly engine: Counters;
    readonly gateway: GatewayCounters;
    /** Of the broker in this process, or of its links to the hubs. */
    readonly broker: Readonly<Record<string, number>>;
  };
  /** A worker of another build may not tell. */
  readonly telemetry?: ServerTelemetry;
}

export interface HubReport {
  /** Workers that are linked. */
  readonly links: number;
  /** What waits for workers to read it. */
  readonly waitingBytes?: number;
  readonly brokerAvailable: boolean;
  /** Its streams that do not answer, though others do. */
  readonly brokerAway?: readonly string[];
  readonly counters: {
    readonly hub: Readonly<Record<string, number>>;
    readonly broker: Readonly<Record<string, number>>;
  };
}

/** From a child. */
export type FromChild =
  | { readonly kind: "ready" }
  /** It cannot do what it was started for (the port, the configuration), and ends. */
  | { readonly kind: "refused"; readonly reason: string }
  /** A worker was told that tokens are void: everybody is to know, and this one that they do. */
  | { readonly kind: "spread"; readonly id: number; readonly kept: KeptRevocation }
  | { readonly kind: "look"; readonly look: EngineLook }
  /** Without a report where the room is not open there. */
  | { readonly kind: "inspected"; readonly id: number; readonly report?: RoomReport }
  | { readonly kind: "nodesAnswered"; readonly id: number; readonly others: OtherNodes }
  /** Another node asks what this one has of a room. Answered by `roomHere` with the same number. */
  | RoomAskedMessage
  /** A hub's answer to "carry": other nodes know or will, or why not. */
  | { readonly kind: "carried"; readonly id: number; readonly problem: string | undefined }
  /** A hub was told by its broker that tokens are void, by this node or another. */
  | { readonly kind: "learnt"; readonly kept: readonly KeptRevocation[] }
  | BeatMessage;

export interface RoomAskedMessage {
  readonly kind: "roomAsked";
  readonly id: number;
  readonly room: RoomName;
}

/** What of that concerns revocations. */
export type RevocationMessage = Extract<FromChild, { readonly kind: "spread" | "carried" | "learnt" }>;

/** How often a child sends a beat, in step with the watchdog's limit. */
export function beatEveryMs(watchdogMs: number): number {
  return Math.min(1_000, watchdogMs / 5);
}
