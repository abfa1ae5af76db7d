import type { Position, ResetReason } from "../protocol/frames.js";

/**
 * One message as an application gets it. It is its own position: pass it as `after` to resume behind it.
 * In an ephemeral room `epoch` is "" and `offset` 0.
 */
export interface Message<T = unknown> extends Position {
  readonly room: string;
  /** Offset of the message before it in this subscription, or page; 0: there is none, or it is not known. */
  readonly prev: number;
  readonly data: T;
  /** The part of the room's state that this message replaces. */
  readonly key: string | undefined;
  /** Milliseconds since 1970, when the broker took it. */
  readonly time: number;
  /** True for history, state and resumed messages; false once the room is live. */
  readonly replayed: boolean;
  /** On the first message after continuity was lost: why. What came before may have holes; fetch state anew. */
  readonly reset: ResetReason | undefined;
}

/** A page of a room's past, oldest first. */
export interface HistoryPage<T = unknown> {
  readonly messages: readonly Message<T>[];
  /** More follow: ask again `after` {@link HistoryPage.position}. */
  readonly more: boolean;
  /** Of the last message, or the position that was asked for where there is none. */
  readonly position: Position | undefined;
  /** The position that was asked for is gone; `messages` begin at the oldest kept. */
  readonly lost: ResetReason | undefined;
}
