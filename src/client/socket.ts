import { SUBPROTOCOLS } from "../protocol/frames.js";
import { FanwireError, textOf } from "./errors.js";
import type { Fallback, OpenSocket } from "./events/fallback.js";
import { encode } from "./msgpack-writer.js";
import type { ClientOptions, Settings, SocketClass, SocketLike, TokenSource } from "./options.js";
import type { Transport } from "./state.js";
import { decode } from "./wire.js";

/** No close frame was received: the code that WebSockets report for it. */
const CODE_ABNORMAL = 1006;
const CODE_NOT_ALLOWED = 4403;
const CODE_TOO_SLOW = 4408;
/** So many WebSockets in a row through which nothing came, and events are tried. */
const FAILURES_MAX = 2;

interface SocketEvents {
  /** Which way it is, before anything is received. */
  via(transport: Transport): void;
  received(payload: unknown): void;
  /** Once for every open, unless {@link SocketHolder.close} came first. */
  closed(code: number, reason: string): void;
  /** All rooms are to be asked for again. */
  resubscribe(): void;
}

/**
 * At most one socket at a time, or a stream of events in its place where no WebSocket comes through; a forgotten one is heard no more.
 */
export class SocketHolder {
  readonly #url: string;
  readonly #class: SocketClass | undefined;
  readonly #token: TokenSource | undefined;
  readonly #transport: "auto" | Transport;
  readonly #settings: Settings;
  readonly #events: SocketEvents;
  #socket: Pick<SocketLike, "send" | "close"> | undefined;
  /** Counts opens and closes, so that a token or an event that comes too late is of no effect. */
  #turn = 0;
  /** Of WebSockets, in a row. */
  #failures = 0;
  /** A WebSocket was made, and nothing has come through yet. */
  #silent = false;
  /** From the first time that it is needed. */
  #fallback: Fallback | undefined;

  constructor(url: string, options: ClientOptions, settings: Settings, events: SocketEvents) {
    this.#url = url;
    this.#transport = options.transport ?? "auto";
    this.#class = this.#transport === "events" ? undefined : (options.WebSocket ?? defaultClass());
    this.#token = options.token;
    this.#settings = settings;
    this.#events = events;
  }

  open(): void {
    const turn = ++this.#turn;
    this.#socket = undefined;
    const current = (run: () => void): void => {
      if (turn === this.#turn) run();
    };
    const source = this.#token;
    if (typeof source !== "function") {
      this.#make(source, current);
      return;
    }
    this.freshToken(source).then(
      (token) => current(() => this.#make(token, current)),
      (cause) => current(() => this.#events.closed(CODE_ABNORMAL, `no token: ${textOf(cause)}`)),
    );
  }

  /** Rejects where it cannot be had. */
  freshToken(source = this.#token): Promise<string> {
    return new Promise((resolve, reject) => {
      if (typeof source === "function") resolve(source());
      else reject(new Error("there is no function that fetches one"));
    });
  }

  send(bytes: Uint8Array<ArrayBuffer>): void {
    this.#socket?.send(bytes);
  }

  close(code: number): void {
    this.#turn++;
    const socket = this.#socket;
    this.#socket = undefined;
    // One that hangs is as good a sign as two that are refused.
    if (this.#silent && code === CODE_TOO_SLOW) this.#failures += FAILURES_MAX;
    this.#silent = false;
    socket?.close(code);
  }

  #make(token: string | undefined, current: (run: () => void) => void): void {
    const found = this.#fallback?.take();
    if (found !== undefined) this.#adopt(found, current);
    else if (
      this.#class !== undefined &&
      (this.#transport === "websocket" ||
        (this.#failures < FAILURES_MAX && this.#fallback?.isPreferred !== true))
    )
      this.#makeSocket(this.#class, token, current);
    // Most clients never need it.
    else
      import("./events/fallback.js").then(
        (module) => current(() => this.#fallBack(module.Fallback, token, current)),
        (cause) => current(() => this.#eventsClosed(CODE_ABNORMAL, textOf(cause))),
      );
  }

  #fallBack(Class: typeof Fallback, token: string | undefined, current: (run: () => void) => void): void {
    this.#fallback ??= new Class({
      url: this.#url,
      class: this.#class,
      settings: this.#settings,
      codec: { decode, encode },
      protocolsFor,
    });
    this.#socket = this.#fallback.open(token, current, this.#events, {
      found: (open) => this.#adopt(open, current),
      closed: (code, reason) => this.#eventsClosed(code, reason),
    });
  }

  // It may be the server that is away, and not the way: WebSockets have their turn again.
  #eventsClosed(code: number, reason: string): void {
    this.#failures = 0;
    this.#events.closed(code, reason);
  }

  #makeSocket(Class: SocketClass, token: string | undefined, current: (run: () => void) => void): void {
    let socket: SocketLike;
    try {
      socket = new Class(this.#url, protocolsFor(token));
    } catch (cause) {
      // Not allowed here at all (mixed content, a token that is none), so trying again does not help.
      queueMicrotask(() => current(() => this.#events.closed(CODE_NOT_ALLOWED, textOf(cause))));
      return;
    }
    socket.binaryType = "arraybuffer";
    this.#silent = true;
    this.#listen(socket, current);
  }

  #adopt({ socket, payloads }: OpenSocket, current: (run: () => void) => void): void {
    this.#listen(socket, current);
    for (const payload of payloads) this.#received(payload);
  }

  #listen(socket: SocketLike, current: (run: () => void) => void): void {
    let problem = "";
    this.#events.via("websocket");
    socket.addEventListener("message", ({ data }) => current(() => this.#received(data)));
    // Says more than the close in Node; in a browser it says nothing, and a close follows in both.
    socket.addEventListener("error", (event) => {
      if ("message" in event && typeof event.message === "string") problem = event.message;
    });
    socket.addEventListener("close", ({ code, reason }) =>
      current(() => {
        if (this.#silent) this.#failures++;
        this.#silent = false;
        this.#events.closed(code, reason === "" ? problem : reason);
      }),
    );
    this.#socket = socket;
  }

  #received(payload: unknown): void {
    this.#silent = false;
    this.#failures = 0;
    this.#events.received(payload);
  }
}

/** @throws FanwireError `bad_request` where it is no URL, or none that a WebSocket can go to. */
export function socketUrlOf(raw: string | URL): string {
  const base = typeof location === "undefined" ? undefined : location.href;
  const text = String(raw);
  if (!URL.canParse(text, base)) throw new FanwireError("bad_request", `${text} is not a URL`);
  const url = new URL(text, base);
  url.protocol = url.protocol.replace(/^http/, "ws");
  url.hash = "";
  if (url.protocol !== "ws:" && url.protocol !== "wss:") {
    throw new FanwireError("bad_request", `${text}: ws, wss, http or https is allowed`);
  }
  return url.href;
}

function defaultClass(): SocketClass {
  if (typeof WebSocket === "undefined") {
    const hint = 'install "ws" and pass { WebSocket } from it';
    throw new FanwireError("bad_request", `this runtime has no WebSocket class: ${hint}`);
  }
  return WebSocket;
}

/** What a handshake offers: the token is an item too, so that it stays out of URLs. */
function protocolsFor(token: string | undefined): string[] {
  return [SUBPROTOCOLS[0], ...(token === undefined ? [] : [`token.${token}`])];
}
