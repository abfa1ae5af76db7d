import { DEFAULT_LIMITS } from "../../core/limits.js";
import type { ContentLimits } from "./stored-message.js";

/** Every cap and time of the NATS broker, with its default and reason in {@link DEFAULT_NATS_LIMITS}. */
export interface NatsLimits extends ContentLimits {
  /** Publishes that wait for their acknowledgement or for their turn. */
  readonly outboxMessages: number;
  readonly outboxBytes: number;
  /** Publishes on their way at once. */
  readonly windowMessages: number;
  readonly windowBytes: number;
  /** A publish that is not acknowledged within this time is sent again, with the same id. */
  readonly ackMs: number;
  /** A publish that is not acknowledged within this time is rejected. */
  readonly publishMs: number;
  /** New publishes are rejected at once when the connection has been away for this long. */
  readonly awayMs: number;
  /** Bytes of ephemeral messages that the connection has not taken yet. */
  readonly ephemeralBytes: number;
  /** Reads and opens give up after this long. */
  readonly readMs: number;
  /** Live messages of one room or partition that wait for those before them. */
  readonly queueMessages: number;
  /** Between two looks at whether a quiet room missed something. */
  readonly sweepMs: number;
  /** How long a live message may be on its way before a sweep takes it for lost. */
  readonly graceMs: number;
  /** Reads of many messages at once. */
  readonly cursors: number;
  /** Messages in one answer of such a read. */
  readonly readBatch: number;
  /** Bytes of messages that one pass over a stream holds at once. */
  readonly passBytes: number;
  /** Pages of open rooms that were read a short while ago, and for how long they are kept. */
  readonly pageBytes: number;
  readonly pageKeepMs: number;
  /** Recent messages of open rooms that are kept in memory. */
  readonly tailBytes: number;
  readonly tailMessages: number;
  /** Keys in one room's snapshot. */
  readonly keysPerRoom: number;
  /** Rooms open at once. */
  readonly openRooms: number;
  /** Patterns watched at once. */
  readonly patterns: number;
}

export const DEFAULT_NATS_LIMITS: NatsLimits = Object.freeze({
  depth: DEFAULT_LIMITS.depth,
  elements: DEFAULT_LIMITS.elements,
  dataBytes: DEFAULT_LIMITS.dataBytes,
  keyBytes: DEFAULT_LIMITS.keyBytes,
  // A third of a second at full speed.
  outboxMessages: 20_000,
  outboxBytes: 67_108_864,
  // 1,000 fill a connection to a server nearby. What waits here instead of there is sent in longer turns (outbox.ts):
  // 60,000 publishes/s where 4,000 on their way make 57,000.
  windowMessages: 1_500,
  windowBytes: 8_388_608,
  // An election takes 2 to 6 seconds, an answer a few milliseconds.
  ackMs: 2_000,
  // Far below the 2 minutes in which the server knows an id, so that no retry is stored twice.
  publishMs: 15_000,
  awayMs: 2_000,
  ephemeralBytes: 4_194_304,
  readMs: 10_000,
  queueMessages: 1_000,
  // Below the least age of a stream by far, so that nothing that was missed has expired when it is found.
  sweepMs: 30_000,
  graceMs: 500,
  // More at once does not make the server faster.
  cursors: 16,
  // 4 MiB at the largest.
  readBatch: 256,
  // 31 rooms of a thousand messages of 200 bytes; four passes are made at once.
  passBytes: 16_777_216,
  pageBytes: 33_554_432,
  // A storm of 50,000 comes within some seconds.
  pageKeepMs: 15_000,
  tailBytes: 67_108_864,
  tailMessages: 256,
  keysPerRoom: 10_000,
  openRooms: 200_000,
  patterns: 50_000,
});
