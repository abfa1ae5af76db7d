/** Every bound and interval of the live flow, with its default and reason in {@link DEFAULT_FLOW_LIMITS}. */
export interface FlowLimits {
  /** Live messages that one room, or one whole partition, may hold back while a read is late. */
  readonly queueMessages: number;
  /** Bytes of all that is held back. */
  readonly queueBytes: number;
  /** Reads of one room's messages at once. */
  readonly pages: number;
  readonly pageMessages: number;
  /** Where the message before them is gone: all of them have to be counted, to see whether they pushed out others. */
  readonly widePageMessages: number;
  /** Reads of rooms' last messages at once; one a partition at the most. */
  readonly heads: number;
  /** Rooms in one of them. */
  readonly headsRooms: number;
  /** Reads of whole partitions at once. */
  readonly ranges: number;
  readonly rangeMessages: number;
  /** A read without an answer for this long is given up and asked anew. */
  readonly askMs: number;
  /** First and longest pause after a read that failed. */
  readonly retryMs: number;
  readonly retryMsMax: number;
  /** Every partition is swept this often. */
  readonly sweepMs: number;
  /** How long a message of a whole partition may be on its way before a sweep takes it for lost. */
  readonly graceMs: number;
  /** After a gap a partition is swept at once, and again after this time; also after a room was opened where it is spread. */
  readonly resweepMs: number;
  /** A stream may be behind what it has sent for this long, as a fresh leader can be, before it counts as an older one. */
  readonly staleMs: number;
}

export const DEFAULT_FLOW_LIMITS: FlowLimits = Object.freeze({
  // Two seconds, the deadline of a read, at 2,000 messages a second.
  queueMessages: 4_096,
  queueBytes: 67_108_864,
  // About what a server answers at its best rate; more only wait inside it.
  pages: 64,
  pageMessages: 256,
  // More than any but the longest histories keep; beyond it a room is told that it may have lost some.
  widePageMessages: 4_096,
  heads: 16,
  headsRooms: 256,
  ranges: 4,
  rangeMessages: 4_096,
  askMs: 2_000,
  retryMs: 100,
  retryMsMax: 2_000,
  // A message that was lost in a quiet room is late by no more than this.
  sweepMs: 30_000,
  graceMs: 500,
  // Subscriptions reach all servers of a cluster some milliseconds after the own one has confirmed them.
  resweepMs: 3_000,
  staleMs: 3_000,
});
