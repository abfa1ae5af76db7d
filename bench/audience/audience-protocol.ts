import type { HistogramData } from "../support/histogram.js";

/** What one process of clients is to be. */
export interface AudiencePlan {
  readonly host: string;
  readonly port: number;
  /** undefined: the machine's own. */
  readonly localAddress: string | undefined;
  readonly connections: number;
  /** All subscribe to all of them. */
  readonly rooms: readonly string[];
  /** Options of their subscribes, as they stand on the wire. */
  readonly options: Readonly<Record<string, unknown>>;
  /** What each publishes a second into the first room, a moment after the one before it; 0: nothing. */
  readonly movesPerSecond: number;
  /** Bytes of a move. */
  readonly bytes: number;
}

export type AudienceRequest =
  /** Answered when all are live, or one of them is refused for good. */
  | { readonly kind: "connect"; readonly plan: AudiencePlan }
  /** Ends a phase: answers what it came to and begins the next. */
  | { readonly kind: "phase" }
  /** From now on nobody reads, or everybody does again. */
  | { readonly kind: "read"; readonly reading: boolean }
  | { readonly kind: "disconnect" };

export type AudienceReply =
  | { readonly kind: "done" }
  | { readonly kind: "refused"; readonly refusal: string }
  | { readonly kind: "phase"; readonly phase: AudiencePhase };

export interface AudiencePhase {
  readonly seconds: number;
  readonly messages: number;
  readonly frames: number;
  readonly bytes: number;
  /** Connections that ended without being asked to, told that they lagged, told of another class. */
  readonly lost: number;
  readonly lagged: number;
  readonly moved: number;
  /** From the time a message was due to its arrival. */
  readonly ageMicros: HistogramData;
  /** How late the clients' own loop was, 99th percentile: what arrives meanwhile is as late. */
  readonly loopLateMicros: number;
  /** What the engine refused first, if anything. */
  readonly refusal: string | undefined;
  /** What should not be: holes, disorder, broken connections. */
  readonly failures: readonly string[];
}
