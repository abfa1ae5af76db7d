import type { CloseCode } from "../protocol/errors.js";
import type { Position, ResetReason } from "../protocol/frames.js";
import type { Message } from "../protocol/message.js";
import type { RoomName } from "../protocol/room-name.js";
import type { RoomPattern } from "../protocol/room-pattern.js";

/** A message on its way in, not yet numbered. */
export interface Outgoing {
  readonly room: RoomName;
  /** One checked MessagePack value. The broker copies it before it returns. */
  readonly data: Uint8Array;
  readonly key?: string | undefined;
  /** Idempotency: within 2 minutes the same id in the same room is stored once, and answered with the same position. */
  readonly id?: string | undefined;
  /** Session that publishes, handed through to {@link Message.origin}. */
  readonly origin?: string | undefined;
  /**
   * The key stands for its sender. "take": this process holds it from now on, until it publishes nil; who hosts a broker for
   * several processes takes out what nobody holds any more when one ends. "release", with nil: this process holds it no
   * more, and it is taken out unless another does.
   */
  readonly hold?: "take" | "release" | undefined;
}

/** Where a broker puts an open room's flow: ordered and gapless (each `prev` is the offset before), or a reset. */
export interface Sink {
  message(message: Message): void;
  /** Continuity is lost; numbering goes on after `head`. */
  reset(room: RoomName, head: Position, reason: ResetReason): void;
  /**
   * Nothing lies between what was handed over last and this offset: whoever resumes may do so from here, also when
   * that message has expired. What comes next is above it; its `prev` need not be.
   */
  checkpoint?(room: RoomName, offset: number): void;
}

/** Where something may have been missed: in one room, in the rooms that these patterns mean, or in all that any watched one means. */
export type LostWhere = "all" | { readonly room: RoomName } | { readonly patterns: readonly RoomPattern[] };

/**
 * Where a broker puts what comes for rooms that are not open, and that a watched pattern means. A room's message comes to one
 * place only: to its sink while it is open, else here. So where `open` resolves with a position, everything of the room up to
 * there came here before, and everything after it comes to the sink; after `close` everything that the sink was not
 * given comes here.
 *
 * Of a message that comes here `prev` says nothing, and where a room begins a new numbering its offsets begin anew.
 */
export interface Watcher {
  /** Of each room in order, each once, however many patterns mean it. Rooms that keep nothing too. */
  message(message: Message): void;
  /** Something may have been missed. Told before anything that comes after it; it may have been nothing. */
  lost(where: LostWhere): void;
}

/** Where to read from: after a position, the last n, or from the oldest kept. */
export type HistoryFrom = { readonly after: Position } | { readonly last: number } | "oldest";

export type HistoryPage =
  | {
      readonly kind: "page";
      /** Contiguous, oldest first. The first message's `prev` is at or below the offset asked for. */
      readonly messages: readonly Message[];
      /** More follow after the last of these. */
      readonly more: boolean;
      readonly head: Position;
    }
  /** The position asked for is not covered: messages after it are gone, or it is of another epoch. */
  | { readonly kind: "lost"; readonly reason: ResetReason; readonly head: Position };

export interface Snapshot {
  readonly head: Position;
  /** The latest message of every key, in offset order. */
  readonly messages: readonly Message[];
  /** Keys left out because the room's bound of keys was reached. 0: complete. */
  readonly droppedKeys: number;
}

/** A room that a broker knows of. */
export interface ListedRoom {
  readonly room: RoomName;
  /** Where it stands; undefined where the broker would have to read it from somewhere. */
  readonly head: Position | undefined;
}

/** Rooms in the order of their names. */
export interface RoomList {
  readonly rooms: readonly ListedRoom[];
  /** More follow after the last of these. */
  readonly more: boolean;
}

/**
 * The source of truth of rooms. Every broker passes the same conformance suite (src/broker/conformance.testkit.ts).
 * An ephemeral room has epoch "" and offset 0 throughout, no history and no state.
 */
export interface Broker {
  /** Resolves when stored; rejects with a CodedError (`unavailable` with a retry time while it cannot). */
  publish(outgoing: Outgoing): Promise<Position>;
  /** Every message after the position it resolves with goes to the sink, until {@link Broker.close}. */
  open(room: RoomName, sink: Sink): Promise<Position>;
  close(room: RoomName): void;
  /**
   * From when it resolves, every message of a room that the pattern means and that is not open comes to the watcher, which is
   * one for all patterns; also over whatever breaks, until {@link Broker.unwatch}. A pattern that is watched already stays so.
   * Rejects with a CodedError: `unavailable` where it cannot now, or where the bound on patterns is reached.
   */
  watch(pattern: RoomPattern, watcher: Watcher): Promise<void>;
  /** Nothing comes for the pattern from here on, but what another one means too. Unknown ones are ignored. */
  unwatch(pattern: RoomPattern): void;
  history(room: RoomName, from: HistoryFrom, limit: number): Promise<HistoryPage>;
  state(room: RoomName): Promise<Snapshot>;
  /**
   * Rooms whose names begin with the prefix and come after `after` ("": all do), in the order of their names' bytes: at most
   * `limit` of them, and never more than `ROOM_LIST_MAX`. Page by page, each room that is known all the while comes once. A room
   * that a message is kept of is known; each broker says which others are. Rejects with a CodedError: `unavailable` where it cannot
   * tell all of them now.
   */
  rooms(prefix: string, after: string, limit: number): Promise<RoomList>;
  /** The way to all others who use this broker's rooms. Undefined: there are none. */
  readonly gossip?: Gossip | undefined;
  /** Ends within the deadline; publishes after it reject with `unavailable`. */
  stop(deadlineMs: number): Promise<void>;
}

/**
 * Tells all processes that share a broker something of the moment. Nothing of it is stored, and nothing is promised: it may be lost,
 * come twice or in another order, and who says it may hear it too. Only those who may serve rooms can say or hear anything.
 */
export interface Gossip {
  /** Whether what is said now goes anywhere. */
  readonly isConnected: boolean;
  /** At most 256 KiB, which are the receiver's from now on. Never throws. */
  say(bytes: Uint8Array): void;
  /** The bytes are valid during the call only. What is returned ends it. */
  listen(hear: (bytes: Uint8Array) => void): () => void;
}

/** The gateway's side of one socket. None of these ever throws; after the close they do nothing. */
export interface Outbox {
  /** "buffered": taken, but waiting for the socket. "dropped": lost, the socket was above its limit. */
  send(bytes: Uint8Array): "sent" | "buffered" | "dropped";
  bufferedBytes(): number;
  join(topic: string): void;
  leave(topic: string): void;
  close(code: CloseCode, reason: string): void;
}

/** The gateway's side of the process. */
export interface Fanout {
  /** Sends to every socket that joined the topic before this call. `binary` is the WebSocket opcode. */
  publish(topic: string, bytes: Uint8Array, binary: boolean): void;
  /** Asks for a tick in which rooms take in what they got, as {@link Fanout.requestTick}, or later under load. */
  requestFlush(): void;
  /** Whether the loop works so much that messages had better share a write than go at once. */
  readonly isBusy: boolean;
  /** Asks for an `Engine.tick` at this time or soon after it, besides those asked for otherwise. In milliseconds, on the clock of `Engine.tick`. */
  wakeAt(atMs: number): void;
  /**
   * Milliseconds since 1970, a whole number: for what is shown, and for what is measured against stored times. It may be set at any
   * time, and by any amount; how long something takes is measured on the clock of `Engine.tick`, which never is.
   */
  wallMs(): number;
  /** Asks for one `Engine.tick` soon, outside of any socket handler. Asking again before it comes changes nothing. */
  requestTick(): void;
}
