import { SUBPROTOCOLS } from "../protocol/frames.js";
import { FanwireError, textOf } from "./errors.js";
import type { SocketClass, SocketLike, TokenSource } from "./options.js";

/** No close frame was received: the code that WebSockets report for it. */
const CODE_ABNORMAL = 1006;
const CODE_NOT_ALLOWED = 4403;

interface SocketEvents {
  received(payload: unknown): void;
  /** Once for every open, unless {@link SocketHolder.close} came first. */
  closed(code: number, reason: string): void;
}

/** At most one socket at a time; a forgotten one is heard no more. */
export class SocketHolder {
  readonly #url: string;
  readonly #class: SocketClass;
  readonly #token: TokenSource | undefined;
  readonly #events: SocketEvents;
  #socket: SocketLike | undefined;
  /** Counts opens and closes, so that a token or an event that comes too late is of no effect. */
  #turn = 0;

  constructor(
    url: string,
    socketClass: SocketClass | undefined,
    token: TokenSource | undefined,
    events: SocketEvents,
  ) {
    this.#url = url;
    this.#class = socketClass ?? defaultClass();
    this.#token = token;
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
    socket?.close(code);
  }

  #make(token: string | undefined, current: (run: () => void) => void): void {
    const protocols = [SUBPROTOCOLS[0], ...(token === undefined ? [] : [`token.${token}`])];
    let socket: SocketLike;
    try {
      socket = new this.#class(this.#url, protocols);
    } catch (cause) {
      // Not allowed here at all (mixed content, a token that is none), so trying again does not help.
      queueMicrotask(() => current(() => this.#events.closed(CODE_NOT_ALLOWED, textOf(cause))));
      return;
    }
    let problem = "";
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", ({ data }) => current(() => this.#events.received(data)));
    // Says more than the close in Node; in a browser it says nothing, and a close follows in both.
    socket.addEventListener("error", (event) => {
      if ("message" in event && typeof event.message === "string") problem = event.message;
    });
    socket.addEventListener("close", ({ code, reason }) =>
      current(() => this.#events.closed(code, reason === "" ? problem : reason)),
    );
    this.#socket = socket;
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
