import type { CodedError, ErrorCode } from "./errors.js";
import type { RoomName } from "./room-name.js";
import type { RoomPattern } from "./room-pattern.js";

/** The first element of every value on the wire. */
export const CODE = {
  subscribe: 1,
  unsubscribe: 2,
  publish: 3,
  authenticate: 4,
  history: 5,
  presence: 6,
  ping: 7,
  subscribeMany: 8,
  welcome: 16,
  ok: 17,
  error: 18,
  message: 19,
  live: 20,
  lagged: 21,
  reset: 22,
  members: 23,
  goaway: 24,
  rate: 25,
} as const;

/** No WebSocket message to a client is longer than this, unless one message's data alone is. */
export const CHUNK_BYTES = 16_000;

export const SUBPROTOCOLS = ["fanwire.v1", "fanwire.v1.json"] as const;
export type Subprotocol = (typeof SUBPROTOCOLS)[number];

/** `[epoch, offset]` on the wire: a place in a room's numbering. Offset 0 stands before the first message. */
export interface Position {
  readonly epoch: string;
  readonly offset: number;
}

/** Why continuity is lost. */
export type ResetReason = "expired" | "epoch" | "purged";

/** How a subscription is paced: every message, or conflated to at most so many a second and key. */
export type Rate = number | "all";

/** A rate as a client asks for it; "slowest": whichever is the slowest that the room's namespace allows. */
export type AskedRate = Rate | "slowest";

/** At most one of `after`, `last` and `state` may be given. */
export interface SubscribeOptions {
  /** Resume: every message after this position. */
  readonly after?: Position;
  /** Rewind: the last n messages first. */
  readonly last?: number;
  /** The latest message of every key first. */
  readonly state?: boolean;
  /** Delivery class. Default: that of the namespace. */
  readonly rate?: AskedRate;
  /** False: not the messages that this connection publishes. Default true. */
  readonly echo?: boolean;
  /** Presence events. Default false. */
  readonly members?: boolean;
  /** Data of this member that others see, in namespaces that list members. Default: what it had before, or none. */
  readonly info?: unknown;
}

/** A part of the members of a room, in the order of their names. */
export interface PresenceOptions {
  /** Those whose names come after this one. */
  readonly after?: string | undefined;
  readonly limit?: number | undefined;
}

export interface HistoryOptions {
  readonly after?: Position;
  readonly limit?: number;
}

/** Client to server. `D` is how data is held: decoded (client) or as MessagePack bytes (server). */
export type ClientFrame<D = unknown> =
  | {
      readonly type: "subscribe";
      readonly ref: number;
      readonly room: RoomName;
      readonly options: SubscribeOptions;
    }
  | { readonly type: "unsubscribe"; readonly ref: number; readonly room: RoomName }
  /** A subscribe whose room is a pattern. It is live only, so a server takes no options but the defaults. */
  | {
      readonly type: "subscribePattern";
      readonly ref: number;
      readonly pattern: RoomPattern;
      readonly options: SubscribeOptions;
    }
  | { readonly type: "unsubscribePattern"; readonly ref: number; readonly pattern: RoomPattern }
  | {
      readonly type: "publish";
      readonly ref: number;
      readonly room: RoomName;
      readonly data: D;
      readonly key: string | undefined;
    }
  | { readonly type: "authenticate"; readonly ref: number; readonly token: string }
  | {
      readonly type: "history";
      readonly ref: number;
      readonly room: RoomName;
      readonly options: HistoryOptions;
    }
  | {
      readonly type: "presence";
      readonly ref: number;
      readonly room: RoomName;
      readonly options?: PresenceOptions | undefined;
    }
  | {
      readonly type: "subscribeMany";
      readonly ref: number;
      readonly rooms: readonly ManyItem[];
      readonly options: SubscribeOptions;
    }
  | { readonly type: "ping"; readonly ref: number };

/** One room of `subscribe many`; a name outside the grammar fails alone, in its place. */
export interface ManyItem {
  readonly room: RoomName | CodedError;
  readonly after: Position | undefined;
}

/**
 * What a server makes of one value: a frame, or a well-formed value that is no request (unknown code, wrong
 * types, bad room), to be answered with the error under `ref` (0 where there was none to read).
 */
export type ClientInput =
  | ClientFrame<Uint8Array>
  | { readonly type: "invalid"; readonly ref: number; readonly error: CodedError };

export interface Welcome {
  readonly session: string;
  readonly node: string;
  /** Send something at least this often. */
  readonly pingMs: number;
  /** Largest WebSocket message that the server takes. */
  readonly maxBytes: number;
}

export interface SubscribeResult {
  readonly epoch: string;
  /** Every message after this offset follows, in order, none twice. */
  readonly offset: number;
  /** True only where `after` was given and everything since follows. */
  readonly recovered: boolean;
  /** With `state: true`: keys left out of the snapshot because the room keeps no more. Absent: none. */
  readonly droppedKeys?: number;
  /** The delivery class in hertz, where it is conflated. Absent: every message. */
  readonly rate?: number;
}

/** Server to client, as a client decodes it. */
export type ServerFrame =
  | ({ readonly type: "welcome" } & Welcome)
  | { readonly type: "ok"; readonly ref: number; readonly result: unknown }
  | {
      readonly type: "error";
      readonly ref: number;
      readonly code: ErrorCode;
      readonly text: string;
      readonly retryMs: number | undefined;
      /** With ref 0: about this room, whose subscription has ended. */
      readonly room?: RoomName | undefined;
    }
  /** An error with ref 0 and a pattern in the room's place: that subscription has ended. */
  | {
      readonly type: "patternEnded";
      readonly pattern: RoomPattern;
      readonly code: ErrorCode;
      readonly text: string;
      readonly retryMs: number | undefined;
    }
  | {
      readonly type: "message";
      readonly room: RoomName;
      readonly offset: number;
      readonly prev: number;
      readonly time: number;
      readonly data: unknown;
      readonly key: string | undefined;
    }
  | { readonly type: "live"; readonly room: RoomName; readonly offset: number }
  | { readonly type: "lagged" }
  | {
      readonly type: "reset";
      readonly room: RoomName;
      readonly epoch: string;
      readonly offset: number;
      readonly reason: ResetReason;
    }
  /** A reset with a pattern in the room's place and no position: messages of rooms that it matches may be missing. */
  | { readonly type: "patternReset"; readonly pattern: RoomPattern; readonly reason: ResetReason }
  | {
      readonly type: "members";
      readonly room: RoomName;
      readonly count: number;
      /** Each its id, or `[id, info]`: those who have come, or whose data has changed. */
      readonly joined: readonly unknown[];
      /** Their ids. */
      readonly left: readonly unknown[];
      /** True: `joined` begins the list of all, false: there is no list, only the count. Undefined: changes to the list. */
      readonly list?: boolean | undefined;
    }
  /** The server moved a subscription to another class: what follows is paced like this. */
  | { readonly type: "rate"; readonly room: RoomName; readonly rate: Rate }
  | { readonly type: "goaway"; readonly reason: string; readonly delayMs: number };

/** What a server sends besides messages and history pages, which are spliced from bytes. */
export type ControlFrame = Exclude<ServerFrame, { type: "message" }>;
