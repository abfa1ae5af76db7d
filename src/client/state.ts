import type { Position, Rate, ResetReason } from "../protocol/frames.js";
import type { FanwireError } from "./errors.js";

/** What carries a connection: a WebSocket, or where none comes through, server-sent events and requests over HTTP. */
export type Transport = "websocket" | "events";

/** What the connection is doing. `attempt` counts the failures since it last stood for a while. */
export type ConnectionState =
  /** Not asked to connect yet, or `disconnect()` was called. */
  | { readonly kind: "idle" }
  | { readonly kind: "connecting"; readonly attempt: number }
  | {
      readonly kind: "open";
      readonly attempt: number;
      /** The server's names for this connection and itself. */
      readonly session: string;
      readonly node: string;
      readonly sinceMs: number;
      readonly transport: Transport;
      /** The server asked for a move: the connection is left at `atMs`. */
      readonly leaving: { readonly atMs: number; readonly reason: string } | undefined;
    }
  | {
      readonly kind: "waiting";
      readonly attempt: number;
      /** When the next attempt is made, on the clock of `performance.now()`. */
      readonly resumeAtMs: number;
      readonly reason: string;
      /** Who set the time. A server's is kept even when the network or the page comes back. */
      readonly by: "backoff" | "server";
    }
  /** Over until `connect()`: closed by the application, or refused for good. */
  | { readonly kind: "closed"; readonly code: number; readonly reason: string };

/** What a subscription is doing. */
export type SubscriptionState =
  /** Not taken by the server yet: before the connection, or waiting for the answer or for another try. */
  | { readonly kind: "subscribing" }
  /** Catching up: history, state or what was missed. */
  | { readonly kind: "replaying" }
  | { readonly kind: "live" }
  /** The server refuses the room for good. */
  | { readonly kind: "failed"; readonly error: FanwireError }
  /** `unsubscribe()` or `close()` was called. */
  | { readonly kind: "ended" };

/** The server took the subscription. */
export interface Subscribed {
  /** Every message after this follows. Undefined in an ephemeral room. */
  readonly position: Position | undefined;
  /** True where it goes on behind the position asked for, nothing missing. */
  readonly recovered: boolean;
  /** The delivery class in force: messages a second and key, or all of them. */
  readonly rate: Rate;
  /** Of a snapshot: keys that the server could not keep, because there are too many. 0: it is complete. */
  readonly droppedKeys: number;
}

/** Continuity is lost: what was seen before is no longer the whole. */
export interface Reset {
  readonly reason: ResetReason;
  /** Numbering goes on from here. Undefined where the room has become ephemeral. */
  readonly position: Position | undefined;
}
