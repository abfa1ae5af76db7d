import type { ClientFrame, Position, Rate, ServerFrame } from "../protocol/frames.js";
import type { FanwireError } from "./errors.js";
import type { Message } from "./message.js";
import type { ConnectionState, Reset, Subscribed, SubscriptionState, Transport } from "./state.js";
import type { Topic } from "./subscription-entry.js";

/** What a subscription asks for, checked. At most one of `after`, `last` and `state`. */
export interface SubscribeRequest {
  readonly after: Position | undefined;
  readonly last: number | undefined;
  readonly state: boolean;
  /** May change. */
  readonly rate: Rate | undefined;
  /** To the slowest class while the page is hidden, if it is conflated. */
  readonly slowHidden: boolean;
  readonly echo: boolean;
  readonly members: boolean | undefined;
  readonly info: unknown;
}

type WithoutRef<F> = F extends { readonly ref: number } ? Omit<F, "ref"> : never;

/** A request that is answered once. */
export type RequestBody = WithoutRef<
  Extract<ClientFrame, { type: "publish" | "history" | "presence" | "authenticate" | "ping" }>
>;

/** Everything that can happen to a connection. */
export type Input =
  /** The application's calls. `id` is the shell's choice, never used twice. */
  | { readonly kind: "connect" | "disconnect" | "close" }
  | {
      readonly kind: "subscribe";
      readonly id: number;
      readonly room: Topic;
      readonly request: SubscribeRequest;
    }
  | { readonly kind: "unsubscribe"; readonly id: number }
  | { readonly kind: "rate"; readonly id: number; readonly rate: Rate }
  | { readonly kind: "request"; readonly id: number; readonly body: RequestBody; readonly timeoutMs: number }
  /** What the connection that is being made goes by, before anything is received on it. */
  | { readonly kind: "via"; readonly transport: Transport }
  /** Subscribes of all rooms are to be sent again, in one turn. */
  | { readonly kind: "resubscribe" }
  /** One WebSocket message, decoded. */
  | { readonly kind: "received"; readonly frames: readonly ServerFrame[] }
  /** The socket is gone, or could not be made. */
  | { readonly kind: "closed"; readonly code: number; readonly reason: string }
  /** What the server sent does not decode. */
  | { readonly kind: "garbled"; readonly reason: string }
  /** The time that a `wake` asked for has come; sooner or later than that does no harm. */
  | { readonly kind: "tick" }
  /** The browser's guesses about network and page. */
  | { readonly kind: "online" | "offline" | "visible" | "hidden" };

/** What a subscription tells the application. */
export type SubscriptionEvent<T = unknown> =
  | { readonly kind: "message"; readonly message: Message<T> }
  | { readonly kind: "subscribed"; readonly subscribed: Subscribed }
  | { readonly kind: "live"; readonly position: Position | undefined }
  | { readonly kind: "reset"; readonly reset: Reset }
  | { readonly kind: "rate"; readonly rate: Rate }
  | { readonly kind: "members"; readonly frame: Extract<ServerFrame, { type: "members" }> }
  | { readonly kind: "error"; readonly error: FanwireError }
  | { readonly kind: "state"; readonly state: SubscriptionState };

/** Everything that a connection asks of its shell, in order. */
export type Effect =
  /** Make a socket and forget the one before. */
  | { readonly kind: "connect" }
  | { readonly kind: "send"; readonly bytes: Uint8Array<ArrayBuffer> }
  /** Close the socket and forget it: no `closed` follows. */
  | { readonly kind: "close"; readonly code: number }
  /** Give a `tick` at that time, never where it is infinite; replaces the one asked for before. */
  | { readonly kind: "wake"; readonly atMs: number }
  | { readonly kind: "state"; readonly state: ConnectionState }
  | { readonly kind: "subscription"; readonly id: number; readonly event: SubscriptionEvent }
  | { readonly kind: "answer"; readonly id: number; readonly result: unknown }
  | { readonly kind: "refusal"; readonly id: number; readonly error: FanwireError }
  /** The token expires soon: fetch a fresh one and authenticate with it. */
  | { readonly kind: "renew" }
  /** About the connection as a whole. */
  | { readonly kind: "error"; readonly error: FanwireError }
  /** A ping's round trip, and the server's clock in its answer. */
  | { readonly kind: "latency"; readonly ms: number; readonly serverTimeMs: number | undefined };

export type Push = (effect: Effect) => void;
