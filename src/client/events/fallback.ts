import type { Settings, SocketClass, SocketLike } from "../options.js";
import type { Codec } from "./codec.js";
import { EventsLink, type LinkEvents } from "./events-link.js";
import { Http } from "./http.js";

export interface FallbackOptions {
  readonly url: string;
  readonly codec: Codec;
  /** What a WebSocket's handshake offers. */
  readonly protocolsFor: (token: string | undefined) => string[];
  /** Undefined: nobody is to look for a way back. */
  readonly class: SocketClass | undefined;
  readonly settings: Pick<Settings, "timeoutMs" | "webSocketRetryMs">;
}

/** A WebSocket through which something came, and what that was. */
export interface OpenSocket {
  readonly socket: SocketLike;
  readonly payloads: readonly unknown[];
}

/** What is done with what comes. */
export interface Taker extends Pick<LinkEvents, "received" | "resubscribe"> {
  /** It is by events; their first message follows. */
  via(transport: "events"): void;
}

export interface Outcomes extends Pick<LinkEvents, "closed"> {
  /** A WebSocket comes through after all: in place of events. */
  found(open: OpenSocket): void;
}

/** With events at hand, nobody waits long for a WebSocket that most likely does not come through. */
const FIRST_PROBE_MS = 3_000;
const PROBE_MS = 10_000;
const RETRY_FACTOR_MAX = 16;

/** A connection by events, and the way back: it looks from time to time whether a WebSocket comes through. */
export class Fallback {
  readonly #options: FallbackOptions;
  /** Events came through last, and no WebSocket did. */
  isPreferred = false;
  #found: OpenSocket | undefined;
  #retryFactor = 1;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: FallbackOptions) {
    this.#options = options;
  }

  /** A WebSocket that was found and is still open; once only. */
  take(): OpenSocket | undefined {
    const found = this.#found;
    this.#found = undefined;
    return found;
  }

  /**
   * Opens a connection by events. Where those were not what came through last, a WebSocket gets one more chance as soon as the server answers over
   * HTTP: it may just have been away.
   */
  open(
    token: string | undefined,
    current: (run: () => void) => void,
    taker: Taker,
    { closed, found: adopt }: Outcomes,
  ): Pick<SocketLike, "send" | "close"> {
    this.#stop();
    const { codec, settings, url } = this.#options;
    let isOver = false;
    const http = new Http(url, token, codec);
    const events: LinkEvents = {
      received: (payload) => current(() => taker.received(payload)),
      resubscribe: () => current(() => taker.resubscribe()),
      closed: (code, reason) => {
        isOver = true;
        this.#stop();
        current(() => closed(code, reason));
      },
    };
    const start = (): void => {
      if (isOver) return;
      this.isPreferred = true;
      current(() => taker.via("events"));
      link.start();
      this.#lookLater(http, events);
    };
    const opened = async (): Promise<void> => {
      const patienceMs = Math.min(FIRST_PROBE_MS, settings.timeoutMs / 3);
      const found = this.isPreferred ? undefined : await this.#probe(http.token, patienceMs);
      if (found === undefined) start();
      else if (isOver) found.socket.close(1000);
      else {
        link.close();
        current(() => adopt(found));
      }
    };
    const link: EventsLink = new EventsLink(http, events, () => void opened());
    return {
      send: (bytes) => link.send(bytes),
      close: () => {
        isOver = true;
        this.#stop();
        link.close();
      },
    };
  }

  #stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #lookLater(http: Http, events: LinkEvents): void {
    const { class: socketClass, settings } = this.#options;
    if (socketClass === undefined) return;
    const timer = setTimeout(
      async () => {
        this.#retryFactor = Math.min(RETRY_FACTOR_MAX, this.#retryFactor * 2);
        const found = await this.#probe(http.token, PROBE_MS);
        // The connection has ended meanwhile.
        if (this.#timer !== timer) found?.socket.close(1000);
        else if (found === undefined) this.#lookLater(http, events);
        else this.#goBack(found, events);
      },
      // Not all pages of a network at once.
      settings.webSocketRetryMs * this.#retryFactor * (0.5 + 0.5 * Math.random()),
    );
    this.#timer = timer;
  }

  /** The connection leaves events as it would a server that goes away: what is under way is answered first. */
  #goBack(found: OpenSocket, events: LinkEvents): void {
    this.#found = found;
    this.#retryFactor = 1;
    this.isPreferred = false;
    found.socket.addEventListener("close", () => {
      if (this.#found === found) this.#found = undefined;
    });
    events.received(GOAWAY.slice().buffer);
  }

  /** Undefined where nothing comes through in time. */
  #probe(token: string | undefined, ms: number): Promise<OpenSocket | undefined> {
    const { class: socketClass, protocolsFor, url } = this.#options;
    if (socketClass === undefined) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      let socket: SocketLike;
      const payloads: unknown[] = [];
      const timer = setTimeout(() => {
        socket.close(1000);
        resolve(undefined);
      }, ms);
      const over = (): void => {
        clearTimeout(timer);
        resolve(undefined);
      };
      try {
        socket = new socketClass(url, protocolsFor(token));
      } catch {
        over();
        return;
      }
      socket.binaryType = "arraybuffer";
      socket.addEventListener("message", ({ data }) => {
        payloads.push(data);
        clearTimeout(timer);
        resolve({ socket, payloads });
      });
      socket.addEventListener("error", () => undefined);
      socket.addEventListener("close", over);
    });
  }
}

/** `goaway`, at once. */
const GOAWAY = /* @__PURE__ */ Uint8Array.of(0x93, 24, 0xa9, ...new TextEncoder().encode("WebSocket"), 0);
