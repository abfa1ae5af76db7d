/** Every cap of hub and hub link, with its default and reason in {@link DEFAULT_HUB_LIMITS}. */
export interface HubLimits {
  /** Bytes that may wait for one worker at the hub before it loses all flow and has to catch up by replay. */
  readonly bufferBytes: number;
  /**
   * Replay, pages and snapshots pause above this many waiting bytes; a worker that lost its flow gets it back below.
   * At most a quarter of `bufferBytes` is used.
   */
  readonly lowWatermarkBytes: number;
  /** Publishes of one worker that wait for their answer, beyond which they are refused. */
  readonly publishes: number;
  /** Data bytes of those publishes. */
  readonly publishBytes: number;
  /** History pages and snapshots that one worker reads at once; more wait for their turn. */
  readonly reads: number;
  /** How many of them may wait for their turn, beyond which they are refused. */
  readonly waitingReads: number;
  /** Rooms of one worker that are replayed at once; more wait for their turn. */
  readonly replays: number;
  /** Keys that stand for their senders, of all workers together, beyond which new ones are not known to the hub. */
  readonly heldKeys: number;
  /** Patterns that one worker watches at once. */
  readonly patterns: number;
  /** A request without an answer for this long rejects with `timeout`. */
  readonly requestMs: number;
}

export const DEFAULT_HUB_LIMITS: HubLimits = Object.freeze({
  // A quarter of a second at 300,000 messages/s of 100 bytes: longer than a full garbage collection of a worker.
  bufferBytes: 16_777_216,
  // About 5,000 messages, encoded in 2 ms: live flow never waits long behind a replay, and the socket never runs dry.
  lowWatermarkBytes: 1_048_576,
  // 50 ms at 300,000 publishes a second.
  publishes: 16_384,
  // All of the above at 500 bytes, or 500 of the largest.
  publishBytes: 8_388_608,
  // A storm's, one a room: the broker reads what it is asked for at once in fewer reads. What they bring is bounded by bytes.
  reads: 2_048,
  // A storm of resumes beyond the ring: one a room, as the core reads once for all who ask the same.
  waitingReads: 50_000,
  // A worker that comes back with its rooms: the same.
  replays: 256,
  // Twice what 100,000 connections with a cursor each hold, at some 400 bytes.
  heldKeys: 200_000,
  // What a worker's connections may ask for is bounded before. All of them in one record are 1 MiB.
  patterns: 20_000,
  requestMs: 10_000,
});

/** Records above this are malformed. Beyond anything that a configuration lets in, and still harmless to hold once. */
export const RECORD_BYTES_MAX = 67_108_864;

/** A publish above this is refused: what the hub makes of it, with another head, must be a record still. */
export const PUBLISH_BYTES_MAX = RECORD_BYTES_MAX - 1_048_576;

/** Messages of one read for a replay: small enough to hold, large enough that reading is not what it costs. */
export const REPLAY_PAGE_MESSAGES = 256;

/** Bytes of records that are collected before they are written, and the most that one read takes in. */
export const CHUNK_BYTES = 65_536;

/** Handed to the socket at once, so that what waits is counted down in steps. */
export const WRITE_BYTES = 262_144;

/** How soon a caller may try again after the hub was away. */
export const AWAY_RETRY_MS = 500;

/** The watermark in force. */
export function lowWatermark({ bufferBytes, lowWatermarkBytes }: HubLimits): number {
  return Math.min(lowWatermarkBytes, Math.floor(bufferBytes / 4));
}
