import type { HistoryFrom, ListedRoom, LostWhere, Outgoing } from "../../core/ports.js";
import type { CodedError } from "../../protocol/errors.js";
import type { Position, ResetReason } from "../../protocol/frames.js";
import type { RoomName } from "../../protocol/room-name.js";
import type { RoomPattern } from "../../protocol/room-pattern.js";

/**
 * What goes over the socket between hub and worker: records, each `u32 length of all of it, u8 type, u8 flags, …`,
 * little-endian. A message is one record, the same for all workers, as a room has one number for all of them.
 */
export const RECORD = {
  hello: 1,
  open: 2,
  close: 3,
  publish: 4,
  history: 5,
  state: 6,
  presence: 7,
  watch: 8,
  unwatch: 9,
  rooms: 10,
  welcome: 16,
  opened: 17,
  message: 18,
  reset: 19,
  lagged: 20,
  published: 21,
  pageMessage: 22,
  page: 23,
  snapshot: 24,
  failed: 25,
  checkpoint: 26,
  status: 27,
  presenceTold: 28,
  watching: 29,
  watched: 30,
  watchLost: 31,
  roomList: 32,
} as const;

/** Hub and worker of different builds meet in a rolling replacement; they must not misread each other. */
export const WIRE_VERSION = 6;

/** Length, type and flags, with which every record begins. */
export const RECORD_HEAD_BYTES = 6;

/** Bytes that are no record of this version. Nothing after them can be trusted: the link is closed. */
export class MalformedRecord extends Error {
  override readonly name = "MalformedRecord";
}

/** Where records are written: `reserve` makes place in `bytes`, which it may replace, and returns where. */
export interface RecordTarget {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  reserve(size: number): number;
}

/** What a worker says. Data of a publish is a view into the bytes read. */
export type WorkerRecord =
  | { readonly type: "hello"; readonly version: number; readonly worker: string }
  /** Opens a room; an open one anew. Requests are answered under their ref, a number of the worker's choice. */
  | {
      readonly type: "open";
      readonly ref: number;
      readonly room: RoomName;
      readonly after: Position | undefined;
    }
  | { readonly type: "close"; readonly room: RoomName }
  | { readonly type: "publish"; readonly ref: number; readonly outgoing: Outgoing }
  | {
      readonly type: "history";
      readonly ref: number;
      readonly room: RoomName;
      readonly from: HistoryFrom;
      readonly limit: number;
    }
  | { readonly type: "state"; readonly ref: number; readonly room: RoomName }
  | {
      readonly type: "rooms";
      readonly ref: number;
      readonly prefix: string;
      readonly after: string;
      readonly limit: number;
    }
  /** Wants what comes for rooms that these mean and that it does not have open. */
  | { readonly type: "watch"; readonly ref: number; readonly patterns: readonly RoomPattern[] }
  | { readonly type: "unwatch"; readonly ref: number; readonly pattern: RoomPattern };

/** What the hub says. Messages have records of their own (message-record.ts): live, watched, or of a page or snapshot. */
export type HubRecord =
  /** Answers hello, with the hub's own version. */
  | { readonly type: "welcome"; readonly version: number }
  /** The flow after `head` follows under `number`. `lost`: the position asked for is not covered, `head` is new. */
  | {
      readonly type: "opened";
      readonly ref: number;
      readonly number: number;
      readonly head: Position;
      readonly lost: ResetReason | undefined;
    }
  | {
      readonly type: "reset";
      readonly number: number;
      readonly head: Position;
      readonly reason: ResetReason;
    }
  /** Nothing lies between what the room was sent last and this offset. */
  | { readonly type: "checkpoint"; readonly number: number; readonly offset: number }
  /**
   * Whether the hub's broker can be reached, and which parts of it cannot, though it can. It is taken to be there, whole,
   * until this says otherwise.
   */
  | { readonly type: "status"; readonly available: boolean; readonly away: readonly string[] }
  /** Live messages of all rooms were dropped since some time: open every room again. */
  | { readonly type: "lagged" }
  | { readonly type: "published"; readonly ref: number; readonly position: Position }
  /** Ends the messages of a page. `lost`: the position asked for is not covered. */
  | {
      readonly type: "page";
      readonly ref: number;
      readonly head: Position;
      readonly more: boolean;
      readonly lost: ResetReason | undefined;
    }
  /** Ends the messages of a snapshot. */
  | {
      readonly type: "snapshot";
      readonly ref: number;
      readonly head: Position;
      readonly droppedKeys: number;
    }
  /** A page of the broker's rooms, whole. */
  | {
      readonly type: "roomList";
      readonly ref: number;
      readonly rooms: readonly ListedRoom[];
      readonly more: boolean;
    }
  /** Answers watch and unwatch: it is so from here on. */
  | { readonly type: "watching"; readonly ref: number }
  /** Something may have been missed in rooms that are watched. */
  | { readonly type: "watchLost"; readonly where: LostWhere }
  | { readonly type: "failed"; readonly ref: number; readonly error: CodedError };

/** Whether a number is one that offsets and counts can have. */
export function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
