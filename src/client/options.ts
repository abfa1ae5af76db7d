import type { Position, Rate } from "../protocol/frames.js";
import { FanwireError } from "./errors.js";
import type { Message } from "./message.js";

/** The part of the WebSocket interface that the client uses; browsers, Node 22 and the package `ws` have it. */
export interface SocketLike {
  binaryType: string;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: "message", listener: (event: { readonly data: unknown }) => void): void;
  addEventListener(
    type: "close",
    listener: (event: { readonly code: number; readonly reason: string }) => void,
  ): void;
  addEventListener(type: "error", listener: (event: object) => void): void;
}

/** A WebSocket class. */
export type SocketClass = new (url: string, protocols: string[]) => SocketLike;

/**
 * A token, or what fetches a fresh one: it is asked before every attempt to connect, and when the server says that the
 * token expires, to renew it on the open connection.
 */
export type TokenSource = string | (() => string | Promise<string>);

export interface ClientOptions {
  /** Connect at once. Default true. */
  readonly autoConnect?: boolean | undefined;
  /** Default `globalThis.WebSocket`. Node 20 has none: pass that of the package `ws`. */
  readonly WebSocket?: SocketClass | undefined;
  /**
   * "auto": a WebSocket, or where twice in a row nothing comes through one (or it hangs) and the server answers over HTTP, server-sent events and
   * requests over HTTP, until a WebSocket comes through again. `echo: false` then is refused with `unavailable`. Default "auto".
   */
  readonly transport?: "auto" | "websocket" | "events" | undefined;
  /** How long to stay with events before a WebSocket is tried beside them; up to 16 times as long where none comes through. Default 30,000. */
  readonly webSocketRetryMs?: number | undefined;
  /** Sent as a sub-protocol item, so that it stays out of URLs and their logs. */
  readonly token?: TokenSource | undefined;
  /** For requests, for the handshake, for a subscribe. Default 10,000. */
  readonly timeoutMs?: number | undefined;
  /** Ping at least this often; default (and upper bound) is what the server asks for. */
  readonly pingMs?: number | undefined;
  /** Nothing heard for this long after a ping: the connection is dead. Default 10,000. */
  readonly deadMs?: number | undefined;
  /** Full-jitter exponential backoff between attempts. Default 250 to 15,000. */
  readonly backoffBaseMs?: number | undefined;
  readonly backoffCapMs?: number | undefined;
  /** Requests that wait for the connection; one more rejects with `unavailable`. Default 1,000. */
  readonly queueMessages?: number | undefined;
  /** Their bytes together. Default 1,000,000. */
  readonly queueBytes?: number | undefined;
}

/** {@link ClientOptions} that the pure part needs, checked and complete. */
export interface Settings {
  readonly timeoutMs: number;
  readonly pingMs: number;
  readonly deadMs: number;
  readonly backoffBaseMs: number;
  readonly backoffCapMs: number;
  readonly queueMessages: number;
  readonly queueBytes: number;
  readonly webSocketRetryMs: number;
  /** A refused token is worth another attempt. */
  readonly freshTokens: boolean;
}

/** At most one of `after`, `last` and `state`. */
export interface SubscribeOptions<T = unknown> {
  /** Resume: every message after this position (or this message). */
  readonly after?: Position | undefined;
  /** Rewind: the last n messages first. */
  readonly last?: number | undefined;
  /** The latest message of every key first; again after every reset, so that a view is never silently stale. */
  readonly state?: boolean | undefined;
  /**
   * Conflated: at most this many messages a second and key, the latest each; the namespace says which rates there are.
   * "all": every message. Default: the namespace's class, which is every message unless its operator says otherwise.
   */
  readonly rate?: Rate | undefined;
  /**
   * What a conflated subscription does while the page is hidden: move to the namespace's slowest class and back, nothing
   * missed, or keep its own. One of every message always keeps it. Default "slowest".
   */
  readonly hidden?: "slowest" | "keep" | undefined;
  /** False: not the messages that this client publishes. Default true. */
  readonly echo?: boolean | undefined;
  /** To be told who is in the room: see the event `members`. Default false. */
  readonly members?: boolean | undefined;
  /** Data of this client's member for others to see, where the namespace lists members: a small value that JSON can express. */
  readonly info?: unknown;
  /** Short for `on("message", …)`. */
  readonly onMessage?: ((message: Message<T>) => void) | undefined;
  /** Messages that a `for await` loop may lag behind before it throws `overflow`. Default 10,000. */
  readonly queue?: number | undefined;
}

/** Of a subscription that begins with the state of its room. */
export type StateMapOptions<T = unknown> = Omit<SubscribeOptions<T>, "after" | "last" | "state">;

export interface PublishOptions {
  /** The part of the room's state that this message replaces. */
  readonly key?: string | undefined;
  /** From the call to the answer, the wait for a connection included. Default that of the client. */
  readonly timeoutMs?: number | undefined;
}

export interface HistoryOptions {
  /** Default: from the oldest message kept. */
  readonly after?: Position | undefined;
  readonly limit?: number | undefined;
  readonly timeoutMs?: number | undefined;
}

export interface PresenceOptions {
  /** Those whose ids come after this one. */
  readonly after?: string | undefined;
  readonly limit?: number | undefined;
  readonly timeoutMs?: number | undefined;
}

const NUMBERS = {
  timeoutMs: 10_000,
  pingMs: Number.POSITIVE_INFINITY,
  deadMs: 10_000,
  backoffBaseMs: 250,
  backoffCapMs: 15_000,
  queueMessages: 1_000,
  queueBytes: 1_000_000,
  webSocketRetryMs: 30_000,
} as const;

/** Checks and completes. @throws FanwireError `bad_request` that names every problem. */
export function settingsOf(options: ClientOptions): Settings {
  const problems: string[] = [];
  const number = (name: keyof typeof NUMBERS): number => {
    const value = options[name] ?? NUMBERS[name];
    if (!(value > 0)) problems.push(`${name} is ${value}: must be a number above 0`);
    return value;
  };
  const settings: Settings = {
    timeoutMs: number("timeoutMs"),
    pingMs: number("pingMs"),
    deadMs: number("deadMs"),
    backoffBaseMs: number("backoffBaseMs"),
    backoffCapMs: number("backoffCapMs"),
    queueMessages: number("queueMessages"),
    queueBytes: number("queueBytes"),
    webSocketRetryMs: number("webSocketRetryMs"),
    freshTokens: typeof options.token === "function",
  };
  if (problems.length > 0) throw new FanwireError("bad_request", problems.join("; "));
  return settings;
}
