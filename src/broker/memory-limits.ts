/** Every cap of the memory broker, with its default and reason in {@link DEFAULT_MEMORY_LIMITS}. */
export interface MemoryLimits {
  /** Bytes of all kept messages: history takes up to {@link HISTORY_SHARE} of it, keyed state the rest. */
  readonly bytes: number;
  /** Rooms known at once, open or not. */
  readonly rooms: number;
  /** Keys in one room's state. */
  readonly keysPerRoom: number;
  /** Idempotency ids remembered. */
  readonly ids: number;
  /** Patterns watched at once. */
  readonly patterns: number;
}

export const DEFAULT_MEMORY_LIMITS: MemoryLimits = Object.freeze({
  // About 870,000 messages of 100 bytes in 1,000 rooms, and room to spare in a container of 1 GiB.
  bytes: 268_435_456,
  // Twice the rooms that one process may have open, so that closed ones keep their history. 300 bytes each, outside of `bytes`.
  rooms: 200_000,
  // A market's symbols or a floor of sensors, and still one snapshot that a client can take in.
  keysPerRoom: 10_000,
  // 1,600 publishes a second with an id for the whole window. 270 bytes each, outside of `bytes`.
  ids: 200_000,
  // More than one process may ask for, as those of several workers come together here. 500 bytes each, outside of `bytes`.
  patterns: 50_000,
});

/**
 * History and state are bounded apart, so that a flood of history never pushes out the state of a quiet key,
 * which nobody will publish again soon.
 */
export const HISTORY_SHARE = 0.75;

/** What a key's message costs besides its frame: message, entry, typed array, its buffer, its slot (measured: 370 to 470). */
export const STATE_OVERHEAD_BYTES = 400;

/** How long a publish's id is remembered. */
export const ID_WINDOW_MS = 120_000;

/** Rooms visited plus things dropped in one sweep: 1 to 5 ms, short of what a reader of the live flow notices. */
export const SWEEP_STEPS = 10_000;

/** Publishes that sinks made while they were handed a message and that wait for their turn. */
export const NESTED_PUBLISHES_MAX = 10_000;
