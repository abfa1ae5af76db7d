import { CHUNK_BYTES } from "../protocol/frames.js";
import type { DecodeLimits } from "../protocol/wire.js";

/** Every cap of the core in one place. The config schema fills it; each cap that bites is counted in {@link Counters}. */
export interface Limits extends DecodeLimits {
  /** Largest inbound WebSocket message. Small: a hostile client can make us hold this much. */
  readonly payloadBytes: number;
  readonly roomsPerConnection: number;
  /** Patterns that one connection is subscribed to. */
  readonly patternsPerConnection: number;
  /** Requests of one connection that wait for the broker. */
  readonly requestsInFlight: number;
  /** What one connection may ask a second, for good; a room of a subscribe many counts as one request. 0: any number. */
  readonly requestsPerSecond: number;
  /** What one connection may send a second, for good. 0: any number. */
  readonly receivedBytesPerSecond: number;
  /** Outbound bytes one socket may have waiting before frames to it are dropped. */
  readonly bufferBytes: number;
  /** Replay pauses above this many waiting bytes; a lagging socket is taken back below it. */
  readonly lowWatermarkBytes: number;
  /** A socket with more than this waiting has its subscriptions moved to the slowest classes. See {@link softWatermark}. */
  readonly softWatermarkBytes: number;
  /** A lagging socket whose buffer has not shrunk for this long is closed with 4408. */
  readonly slowMs: number;
  /** Replay bytes for all sockets together in one tick, so that live messages never wait long. */
  readonly replayBytesPerTick: number;
  /** Bytes of recent messages kept in this process, all rooms together. */
  readonly ringBytes: number;
  /** Recent messages kept a room. */
  readonly ringMessages: number;
  /** How long a room without subscribers stays open. */
  readonly roomLingerMs: number;
  /** Rooms open at once in this process. */
  readonly openRooms: number;
  /** Patterns watched at once in this process, and flows of what they match: one for each set of them that a session has. */
  readonly openPatterns: number;
  /** Messages a history request or page returns at the most; also the cap of `last`. */
  readonly historyMessages: number;
  /** Sockets of a lane, and sockets that are flushed to in one tick, at some 7 to 10 µs each, so that the loop is served between. */
  readonly laneSockets: number;
  /** Bytes that wait in conflated classes of this process, all together; above, classes are flushed before their time. */
  readonly conflationBytes: number;
  /** Members of a room that are listed; above, it only counts. */
  readonly presenceMembers: number;
  /** What a client may say of its member, as MessagePack and as JSON. */
  readonly presenceInfoBytes: number;
  /** How often a client must send something. */
  readonly pingMs: number;
}

/** The soft watermark as it holds: below two chunks over the low one, a replay alone would make a socket slow. */
export function softWatermark({
  softWatermarkBytes,
  lowWatermarkBytes,
}: Pick<Limits, "softWatermarkBytes" | "lowWatermarkBytes">): number {
  return Math.max(softWatermarkBytes, lowWatermarkBytes + 2 * CHUNK_BYTES);
}

export const DEFAULT_LIMITS: Limits = Object.freeze({
  values: 1_000,
  depth: 32,
  elements: 20_000,
  dataBytes: 15_360,
  keyBytes: 128,
  payloadBytes: 16_384,
  roomsPerConnection: 1_000,
  patternsPerConnection: 32,
  requestsInFlight: 256,
  requestsPerSecond: 1_000,
  receivedBytesPerSecond: 1_048_576,
  bufferBytes: 65_536,
  lowWatermarkBytes: 16_384,
  softWatermarkBytes: 49_152,
  slowMs: 10_000,
  replayBytesPerTick: 1_048_576,
  ringBytes: 67_108_864,
  ringMessages: 1_024,
  roomLingerMs: 10_000,
  openRooms: 100_000,
  openPatterns: 10_000,
  historyMessages: 1_000,
  laneSockets: 500,
  conflationBytes: 33_554_432,
  presenceMembers: 250,
  presenceInfoBytes: 256,
  pingMs: 25_000,
});
