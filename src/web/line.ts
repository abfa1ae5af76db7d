import type { SocketClass, SocketLike } from "../client/index.js";

type Close = { readonly code: number; readonly reason: string };

/** No close frame was received: what a browser reports when the network goes. */
const ABNORMAL: Close = { code: 1006, reason: "cut on this page" };

/**
 * The page's own wire: real WebSockets that can be cut and that count bytes. To the client a cut looks as if the
 * network had gone, with no goodbye and every attempt to connect failing; it does not know that it is a demonstration.
 */
export class Line {
  /** Payload bytes received since the start. */
  receivedBytes = 0;
  /** WebSocket messages received since the start. */
  receivedFrames = 0;
  readonly #open = new Set<CuttableSocket>();
  #cutUntilMs = 0;

  /** For the client's option `WebSocket`. */
  readonly Socket: SocketClass;

  constructor() {
    const line = this;
    this.Socket = class extends CuttableSocket {
      constructor(url: string, protocols: string[]) {
        super(line.isCut(performance.now()) ? undefined : new WebSocket(url, protocols), line.#events);
        line.#open.add(this);
      }
    };
  }

  isCut(nowMs: number): boolean {
    return nowMs < this.#cutUntilMs;
  }

  /** Cuts what is open, and whatever is opened before that time (of `performance.now()`). */
  cutUntil(untilMs: number): void {
    this.#cutUntilMs = untilMs;
    for (const socket of [...this.#open]) socket.cut();
  }

  mend(): void {
    this.#cutUntilMs = 0;
  }

  readonly #events: SocketEvents = {
    received: (bytes) => {
      this.receivedBytes += bytes;
      this.receivedFrames += 1;
    },
    closed: (socket) => this.#open.delete(socket),
  };
}

interface SocketEvents {
  received(bytes: number): void;
  closed(socket: CuttableSocket): void;
}

class CuttableSocket implements SocketLike {
  readonly #inner: WebSocket | undefined;
  readonly #events: SocketEvents;
  readonly #message: ((event: { readonly data: unknown }) => void)[] = [];
  readonly #close: ((event: Close) => void)[] = [];
  #closed = false;

  /** Without an inner socket it fails at the end of this turn, as an unreachable server does. */
  constructor(inner: WebSocket | undefined, events: SocketEvents) {
    this.#inner = inner;
    this.#events = events;
    if (inner === undefined) {
      queueMicrotask(() => this.cut());
      return;
    }
    inner.binaryType = "arraybuffer";
    inner.addEventListener("message", ({ data }) => {
      if (this.#closed) return;
      events.received(data instanceof ArrayBuffer ? data.byteLength : String(data).length);
      for (const listener of this.#message) listener({ data });
    });
    inner.addEventListener("close", ({ code, reason }) => this.#finish({ code, reason }));
  }

  get binaryType(): string {
    return "arraybuffer";
  }

  set binaryType(type: string) {
    if (type !== "arraybuffer") throw new TypeError(`binaryType ${type}: only arraybuffer is supported here`);
  }

  send(data: Uint8Array<ArrayBuffer>): void {
    if (!this.#closed) this.#inner?.send(data);
  }

  close(code?: number, reason?: string): void {
    this.#inner?.close(code, reason);
  }

  addEventListener(type: "message", listener: (event: { readonly data: unknown }) => void): void;
  addEventListener(type: "close", listener: (event: Close) => void): void;
  addEventListener(type: "error", listener: (event: object) => void): void;
  addEventListener(
    type: "message" | "close" | "error",
    listener: ((event: { readonly data: unknown }) => void) & ((event: Close) => void),
  ): void {
    if (type === "message") this.#message.push(listener);
    else if (type === "close") this.#close.push(listener);
    // A browser's error event says nothing; the close that follows it does.
  }

  cut(): void {
    this.#finish(ABNORMAL);
    this.#inner?.close();
  }

  #finish(event: Close): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#events.closed(this);
    for (const listener of this.#close) listener(event);
  }
}
