import type { PaceLimits } from "./pace.js";
import type { RoomPlan } from "./rooms.js";
import type { Counts, TallyData } from "./tally.js";

/** What one agent, a client process, is to connect. */
export interface Assignment {
  readonly host: string;
  readonly port: number;
  /** The source addresses, in turn: see CONNECTIONS_PER_ADDRESS. None: as the system chooses. */
  readonly localAddresses: readonly string[];
  /** Overall number of its first connection; rooms are spread by these numbers. */
  readonly first: number;
  readonly connections: number;
  readonly rooms: RoomPlan;
  readonly pace: PaceLimits;
  /** A handshake without an answer for this long is reported, with the kernel's view of it. */
  readonly answerMs: number;
  readonly pingMs: number;
  /** Where subscriptions resume at their first connection; undefined: they begin at the head. */
  readonly resume?: ResumePlan | undefined;
  /** They subscribe not before they are told to, all at once. Default: false. */
  readonly held?: boolean;
}

/** By room. The subscription in slot n of any connection resumes after its room's n-th offset, again from 0 after the last. */
export interface ResumePlan {
  readonly epochs: readonly string[];
  readonly offsets: readonly (readonly number[])[];
}

/** Every request is answered at once; what takes time is seen in the next status. */
export type AgentRequest =
  /** From now on times are those of a host whose clock is ahead by so much. */
  | { readonly kind: "clock"; readonly offsetMicros: number }
  | { readonly kind: "connect"; readonly assignment: Assignment }
  | { readonly kind: "pace"; readonly pace: PaceLimits }
  /** With heads: how many subscriptions are behind them; a room without a head does not count. */
  | { readonly kind: "status"; readonly heads?: readonly (number | null)[] }
  /** Ends a phase: answers what it came to and begins the next. */
  | { readonly kind: "phase" }
  /** Resets that many live connections, chosen at random; they come back by themselves. */
  | { readonly kind: "cut"; readonly connections: number }
  /** Ends for good those that are connected to one of these nodes, as `welcome` names them. */
  | { readonly kind: "dismiss"; readonly nodes: readonly string[] }
  /** Gives up the handshakes that were reported as unanswered; they are tried again. */
  | { readonly kind: "release" }
  /** Those that were held subscribe now. */
  | { readonly kind: "subscribe" }
  | { readonly kind: "disconnect" };

export type AgentReply =
  | { readonly kind: "done" }
  | { readonly kind: "status"; readonly status: AgentStatus }
  | { readonly kind: "phase"; readonly tally: TallyData }
  /** How many connections it was. */
  | { readonly kind: "cut"; readonly connections: number }
  | { readonly kind: "dismiss"; readonly connections: number };

export const MEMBER_STATES = [
  /** Until its time to connect, the first or the next. */
  "waiting",
  /** No TCP connection yet. */
  "connecting",
  /** Handshake sent, no welcome yet. */
  "asking",
  /** Welcome there, not every room is live yet. */
  "subscribing",
  "live",
  /** Ended for good. */
  "dismissed",
  /** Handshake overdue; kept as it is until `release`, so that the kernel can be asked about it. */
  "overdue",
] as const;
export type MemberState = (typeof MEMBER_STATES)[number];

export interface AgentStatus {
  readonly states: Readonly<Record<MemberState, number>>;
  /** Of the phase so far. */
  readonly counts: Counts;
  readonly behind: number;
  readonly overdue: readonly OverdueHandshake[];
}

export interface OverdueHandshake {
  readonly localAddress: string;
  readonly localPort: number;
  /** Whether TCP says that it is connected, and how much of an answer came. */
  readonly connected: boolean;
  readonly receivedBytes: number;
  readonly ageMs: number;
}
