import { type Codec, Refusal, textOf } from "./codec.js";
import { FrameSource } from "./frame-source.js";
import { fieldOf, type Http, refusalIn, refusalOf } from "./http.js";
import { Outbox } from "./outbox.js";

export interface LinkEvents {
  /** One WebSocket message of the server, or what stands for one. */
  received(payload: ArrayBuffer): void;
  /** It is over, unless it was closed from here. */
  closed(code: number, reason: string): void;
  /** Subscribes of all rooms, each behind its last message, are to be sent in one turn. */
  resubscribe(): void;
}

const [SUBSCRIBE, UNSUBSCRIBE, PUBLISH, AUTHENTICATE, HISTORY, PRESENCE, PING, SUBSCRIBE_MANY] = [
  1, 2, 3, 4, 5, 6, 7, 8,
];
const [OK, ERROR] = [17, 18];
/** When to ask again for what only a WebSocket can do. */
const NOT_HERE_MS = 60_000;

type Elements = readonly unknown[];

interface Renewal {
  readonly ref: number;
  readonly before: string | undefined;
  /** The stream that was asked for with it. */
  source: FrameSource | undefined;
}

/**
 * Looks like a WebSocket to the connection: what it sends becomes requests over HTTP, what streams of events bring is received. One stream follows
 * all rooms; for others a new one takes its place, which resumes them all.
 */
export class EventsLink {
  readonly #http: Http;
  readonly #events: LinkEvents;
  readonly #abort = new AbortController();
  readonly #outbox: Outbox;
  #source: FrameSource | undefined;
  /** Takes the place of the other once it speaks. */
  #next: FrameSource | undefined;
  /** Until {@link EventsLink.start} nothing is received. */
  #held: ArrayBuffer[] | undefined = [];
  #requests: Uint8Array[] = [];
  /** Subscribes that are sent now are those of all rooms. So it is at first. */
  #isAll = true;
  /** Rooms have changed since the stream was asked for. */
  #isStale = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** An _authenticate_ whose token the next stream tries. */
  #renewal: Renewal | undefined;

  /** @param opened The server has answered. */
  constructor(http: Http, events: LinkEvents, opened: () => void) {
    this.#http = http;
    this.#events = events;
    this.#outbox = new Outbox(http, this.#abort.signal, (ref, result) => this.#answer(ref, result));
    this.#open([], opened);
  }

  /** What was held back is received now. */
  start(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const payload of held) this.#events.received(payload);
  }

  send(bytes: Uint8Array<ArrayBuffer>): void {
    let changes = false;
    for (const elements of this.#http.codec.decode(bytes)) {
      if (Array.isArray(elements)) changes = this.#take(elements) || changes;
    }
    if (changes) this.#change();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#abort.abort();
    this.#source?.close();
    this.#next?.close();
  }

  /** True where it changes what the stream is to follow. */
  #take(elements: Elements): boolean {
    const [code, raw, first, second, third] = elements;
    const ref = Number(raw);
    switch (code) {
      case SUBSCRIBE:
      case SUBSCRIBE_MANY:
        if (fieldOf(second, "echo") === false) {
          const text = "echo: false needs a WebSocket, and none comes through here";
          this.#answer(ref, new Refusal("unavailable", text, NOT_HERE_MS));
          return false;
        }
        if (this.#isAll) this.#requests.push(this.#http.codec.encode(elements).slice());
        return true;
      case UNSUBSCRIBE:
        // It may be among those that wait for their stream.
        this.#isStale ||= this.#requests.length > 0;
        return true;
      case PUBLISH:
        this.#outbox.add(ref, first, second, third);
        return false;
      case AUTHENTICATE:
        this.#renewal = { ref, before: this.#http.token, source: undefined };
        this.#http.token = String(first);
        this.#isAll = false;
        return true;
      case HISTORY:
        this.#ask(ref, `/v1/rooms/${first}/messages`, pageQuery(second));
        return false;
      case PRESENCE:
        this.#ask(ref, `/v1/rooms/${first}/presence`, pageQuery(second));
        return false;
      case PING:
        this.#ping(ref);
        return false;
      default:
        return false;
    }
  }

  #change(): void {
    if (this.#next !== undefined) this.#isStale = true;
    else if (!this.#isAll) this.#askAll();
    else this.#openSoon();
  }

  #askAll(): void {
    this.#isStale = false;
    this.#isAll = true;
    this.#requests = [];
    this.#openSoon();
    this.#events.resubscribe();
  }

  /** After the turn in which all subscribes are sent. */
  #openSoon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#isAll = false;
      this.#open(this.#requests, () => undefined);
      this.#requests = [];
    });
  }

  #open(requests: readonly Uint8Array[], opened: () => void): void {
    const source: FrameSource = new FrameSource(this.#http, joined(requests), {
      frames: (payload) => {
        if (source === this.#next) {
          this.#source?.close();
          this.#source = source;
          this.#next = undefined;
          opened();
          if (this.#renewal?.source === source) this.#renewed(this.#renewal.ref);
          if (this.#isStale) this.#askAll();
        }
        this.#receive(payload);
      },
      ended: (code, reason) => this.#ended(source, code, reason),
    });
    this.#next = source;
    if (this.#renewal !== undefined) this.#renewal.source ??= source;
  }

  #ended(source: FrameSource, code: number, reason: string): void {
    const renewal = this.#renewal;
    if (renewal?.source === source && source === this.#next && code === 4401) {
      // As on a socket: a token that is refused leaves everything as it is.
      this.#renewal = undefined;
      this.#next = undefined;
      this.#http.token = renewal.before;
      this.#answer(renewal.ref, new Refusal("unauthenticated", reason));
      this.#askAll();
      return;
    }
    this.close();
    this.#events.closed(code, reason);
  }

  #renewed(ref: number): void {
    this.#renewal = undefined;
    this.#answer(ref, {});
  }

  #ask(ref: number, path: string, query: string): void {
    this.#http.get(path, this.#abort.signal, query).then(
      async (response) => {
        if (!response.ok) this.#answer(ref, await refusalOf(response, this.#http.codec));
        else this.#answer(ref, this.#http.codec.decode(new Uint8Array(await response.arrayBuffer()))[0]);
      },
      (cause: unknown) => this.#answer(ref, new Refusal("unavailable", textOf(cause))),
    );
  }

  /** Any answer is a sign of life. */
  #ping(ref: number): void {
    this.#http.get("/healthz", this.#abort.signal).then(
      async (response) =>
        this.#answer(ref, { time: fieldOf(await bodyOf(response, this.#http.codec), "time") }),
      () => undefined,
    );
  }

  #answer(ref: number, result: unknown): void {
    if (ref === 0 || this.#abort.signal.aborted) return;
    const error = result instanceof Refusal ? result : refusalIn(result);
    const elements =
      error === undefined ? [OK, ref, result] : [ERROR, ref, error.code, error.message, error.retryMs];
    this.#receive(this.#http.codec.encode(elements).slice().buffer);
  }

  #receive(payload: ArrayBuffer): void {
    if (this.#held === undefined) this.#events.received(payload);
    else this.#held.push(payload);
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Undefined where it is no MessagePack. */
async function bodyOf(response: Response, codec: Codec): Promise<unknown> {
  try {
    return codec.decode(new Uint8Array(await response.arrayBuffer()))[0];
  } catch {
    return undefined;
  }
}

/** `after` (a position, or a member's id) and `limit` as a query. */
function pageQuery(options: unknown): string {
  const after = fieldOf(options, "after");
  const limit = fieldOf(options, "limit");
  const parameters = new URLSearchParams();
  if (after !== undefined && after !== null)
    parameters.set("after", Array.isArray(after) ? after.join(":") : String(after));
  if (limit !== undefined && limit !== null) parameters.set("limit", String(limit));
  return parameters.toString();
}
