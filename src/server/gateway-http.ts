import { randomBytes } from "node:crypto";
import { CodedError } from "../protocol/errors.js";
import type { GatewayCounters, GatewayLimits } from "./gateway-limits.js";
import type { GatewayLog } from "./gateway-log.js";
import { type ReplySocket, SMALL_REPLY_BYTES, writeReply } from "./gateway-reply.js";
import { JSON_FORMAT } from "./http-format.js";
import { errorReply, HttpError } from "./http-reply.js";
import type { HttpHandler, HttpReply } from "./http-types.js";

/** What of a uWebSockets.js response is used. Throws after the reply was ended or the client went away. */
export interface ResponseSocket extends ReplySocket {
  onAborted(handler: () => void): unknown;
  /** Chunks are valid during the call only. A request without a body gives one empty last chunk. */
  onData(handler: (chunk: ArrayBuffer, isLast: boolean) => void): unknown;
  /** The handler is given how much of the body was written, and returns whether it wrote all it has. */
  onWritable(handler: (offset: number) => boolean): unknown;
  /** Cuts the connection off; calls the handler of `onAborted`. */
  close(): unknown;
}

/** What of a uWebSockets.js request is used; valid during the handler only. */
export interface RequestSocket {
  getCaseSensitiveMethod(): string;
  getUrl(): string;
  /** Undefined where there is no `?`. */
  getQuery(): string | undefined;
  forEach(take: (name: string, value: string) => void): void;
}

/** When a request came, by `performance.now()`, as everywhere here, and the address of its client, where somebody wants to know. */
export interface Asked {
  readonly nowMs: number;
  readonly address?: string | undefined;
}

export interface HttpFrontOptions {
  readonly limits: GatewayLimits;
  readonly counters: GatewayCounters;
  readonly log: GatewayLog;
  readonly handler: HttpHandler;
  /** Headers of every reply. */
  readonly common: Readonly<Record<string, string>>;
  /** So many connections are open that each is to be closed after its reply. */
  readonly isCrowded: () => boolean;
}

/** What a client or a proxy may call a request. */
const REQUEST_ID = /^[\w.:-]{1,64}$/;
const REQUEST_ID_HEADER = "x-request-id";

/** A request without its body, copied. */
interface Head {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: ReadonlyMap<string, string>;
  readonly address: string | undefined;
}

/** One request from its head to the end of its answer. */
interface Exchange {
  /** Its name in logs: the client's `X-Request-Id`, or one of our own. */
  id: string;
  /** The client has named it, and finds the name in the reply. */
  isNamed: boolean;
  readonly res: ResponseSocket;
  readonly isHead: boolean;
  /** Headers of its reply, besides those of all. */
  readonly own: Readonly<Record<string, string>>;
  /**
   * "sending": the reply is begun, and the client has not taken all of it. uWebSockets.js cuts a connection that asks
   * again meanwhile. "done": answered, or the client went away; the response must not be touched.
   */
  state: "body" | "answering" | "sending" | "done";
  deadlineMs: number;
  /** Only the first `bytes` of it are read so far. One buffer: a chunk may be a byte, and an array costs 200. */
  body: Uint8Array;
  bytes: number;
  /** Size of the reply that is being sent. */
  replyBytes: number;
}

/** A client that takes a reply slower than this, in bytes a millisecond, is cut off in the end. */
const REPLY_PACE = 16;

const NO_BODY = new Uint8Array(0);

/** The HTTP requests of all connections: bodies read within bounds, each answered once, deadlines kept. */
export class HttpFront {
  readonly #limits: GatewayLimits;
  readonly #counters: GatewayCounters;
  readonly #log: GatewayLog;
  readonly #handler: HttpHandler;
  readonly #exchanges = new Set<Exchange>();
  readonly #isCrowded: () => boolean;
  /** Begins the ids of requests; unique over restarts. */
  readonly #boot = randomBytes(6).toString("base64url");
  #requests = 0;
  readonly #common: Readonly<Record<string, string>>;
  /** Bytes of all bodies in memory. */
  #bytes = 0;
  /** Bytes of all replies that clients have begun to take. */
  #replyBytes = 0;

  constructor({ limits, counters, log, handler, common, isCrowded }: HttpFrontOptions) {
    this.#limits = limits;
    this.#counters = counters;
    this.#log = log;
    this.#handler = handler;
    this.#isCrowded = isCrowded;
    this.#common = common;
  }

  /** Requests that are being read or answered. */
  get pending(): number {
    return this.#exchanges.size;
  }

  /**
   * Takes one request within its handler. Never throws.
   * @param own Headers of this request's reply, besides those of all.
   */
  take(res: ResponseSocket, req: RequestSocket, { nowMs, address }: Asked, own: Exchange["own"] = {}): void {
    this.#counters.httpRequests += 1;
    const isHead = req.getCaseSensitiveMethod() === "HEAD";
    const deadlineMs = nowMs + this.#limits.bodyMs;
    const empty = { body: NO_BODY, bytes: 0, replyBytes: 0 };
    this.#requests += 1;
    const id = `${this.#boot}-${this.#requests.toString(36)}`;
    const exchange: Exchange = { id, isNamed: false, res, isHead, own, state: "body", deadlineMs, ...empty };
    this.#exchanges.add(exchange);
    res.onAborted(() => this.#finish(exchange));
    try {
      const head = copyHead(req, this.#limits.headBytes, address);
      if (!(head instanceof CodedError)) nameExchange(exchange, head);
      const problem = head instanceof CodedError ? head : this.#problemOf(head);
      if (problem !== undefined) this.#refuse(exchange, problem);
      else if (!(head instanceof CodedError)) this.#readBody(exchange, head);
    } catch (cause) {
      this.#fault(exchange, cause);
    }
  }

  /** About once a second: ends what takes too long. */
  sweep(nowMs: number): void {
    const { bodyMs, replyMs } = this.#limits;
    for (const exchange of this.#exchanges) {
      if (nowMs < exchange.deadlineMs) continue;
      if (exchange.state === "sending") {
        this.#counters.repliesCut += 1;
        exchange.res.close();
        continue;
      }
      const error =
        exchange.state === "body"
          ? new HttpError(408, "timeout", `the body was not here within ${bodyMs} ms`)
          : new CodedError("timeout", `no answer within ${replyMs} ms`);
      this.#refuse(exchange, error);
    }
  }

  #problemOf(head: Head): CodedError | undefined {
    if (this.#exchanges.size > this.#limits.requests)
      return new CodedError("unavailable", `more than ${this.#limits.requests} requests at once`, 1_000);
    const length = head.headers.get("content-length");
    // uWebSockets.js reads the first of several lengths, and a proxy before it may read another.
    if (length?.includes(",")) return new CodedError("bad_request", "more than one Content-Length");
    if (Number(length ?? 0) > this.#limits.bodyBytes) return this.#tooLarge();
    return undefined;
  }

  #readBody(exchange: Exchange, head: Head): void {
    exchange.res.onData((chunk, isLast) => {
      if (exchange.state !== "body") return;
      try {
        const problem = this.#problemOfChunk(exchange, chunk);
        if (problem !== undefined) this.#refuse(exchange, problem);
        else {
          this.#keep(exchange, chunk);
          if (isLast) this.#answer(exchange, head);
        }
      } catch (cause) {
        this.#fault(exchange, cause);
      }
    });
  }

  #problemOfChunk(exchange: Exchange, chunk: ArrayBuffer): CodedError | undefined {
    if (exchange.bytes + chunk.byteLength > this.#limits.bodyBytes) return this.#tooLarge();
    if (this.#bytes + chunk.byteLength <= this.#limits.bodiesBytes) return undefined;
    return new CodedError("unavailable", "too many bytes of request bodies at once", 1_000);
  }

  #keep(exchange: Exchange, chunk: ArrayBuffer): void {
    if (chunk.byteLength === 0) return;
    const bytes = exchange.bytes + chunk.byteLength;
    if (bytes > exchange.body.length) {
      const grown = new Uint8Array(Math.max(bytes, exchange.body.length * 2));
      grown.set(exchange.body);
      exchange.body = grown;
    }
    exchange.body.set(new Uint8Array(chunk), exchange.bytes);
    exchange.bytes = bytes;
    this.#bytes += chunk.byteLength;
  }

  #answer(exchange: Exchange, head: Head): void {
    exchange.state = "answering";
    exchange.deadlineMs += this.#limits.replyMs;
    const body = exchange.body.subarray(0, exchange.bytes);
    // Handlers need not know HEAD: it is a GET whose body stays here.
    const method = exchange.isHead ? "GET" : head.method;
    this.#handler({ ...head, id: exchange.id, method, body }).then(
      (reply) => {
        try {
          this.#reply(exchange, reply, false);
        } catch (cause) {
          this.#fault(exchange, cause);
        }
      },
      (cause: unknown) => this.#fault(exchange, cause),
    );
  }

  #tooLarge(): CodedError {
    return new CodedError("too_large", `a body has at most ${this.#limits.bodyBytes} bytes`);
  }

  #refuse(exchange: Exchange, error: CodedError): void {
    this.#counters.httpRefused += 1;
    // What is left of the body would be read as the next request.
    this.#reply(exchange, errorReply(JSON_FORMAT, error), true);
  }

  #fault(exchange: Exchange, cause: unknown): void {
    this.#counters.faults += 1;
    this.#log.error({ err: cause, request: exchange.id }, "an HTTP handler threw");
    this.#reply(exchange, errorReply(JSON_FORMAT, new CodedError("internal", "internal error")), true);
  }

  #reply(exchange: Exchange, reply: HttpReply, close: boolean): void {
    if (exchange.state === "sending") exchange.res.close();
    if (exchange.state === "sending" || exchange.state === "done") return;
    const { res, isHead: head } = exchange;
    const isTold = exchange.isNamed || reply.status >= 500;
    const all = { ...this.#common, ...exchange.own };
    const common = isTold ? { ...all, [REQUEST_ID_HEADER]: exchange.id } : all;
    const left = this.#hasRoomFor(reply, head)
      ? writeReply(res, reply, { head, close: close || this.#isCrowded(), common })
      : writeReply(res, this.#tooMany(), { head, close: true, common });
    if (left === undefined) this.#finish(exchange);
    else this.#send(exchange, left);
  }

  /** One reply may always be under way, or one above the limit could never be sent. */
  #hasRoomFor({ body }: HttpReply, isHead: boolean): boolean {
    const bytes = Buffer.byteLength(body);
    if (isHead || bytes <= SMALL_REPLY_BYTES || this.#replyBytes === 0) return true;
    return this.#replyBytes + bytes <= this.#limits.repliesBytes;
  }

  #tooMany(): HttpReply {
    this.#counters.httpRefused += 1;
    const text = "too many bytes of replies wait for clients to take them";
    return errorReply(JSON_FORMAT, new CodedError("unavailable", text, 1_000));
  }

  /** Sends what is left of a reply as fast as the client takes it. */
  #send(exchange: Exchange, body: Uint8Array): void {
    this.#forget(exchange);
    exchange.state = "sending";
    exchange.replyBytes = body.length;
    this.#replyBytes += body.length;
    exchange.deadlineMs = performance.now() + this.#limits.replyMs;
    let taken = 0;
    exchange.res.onWritable((offset) => {
      if (exchange.state !== "sending") return true;
      try {
        exchange.deadlineMs += (offset - taken) / REPLY_PACE;
        taken = offset;
        const [isAllTaken, isComplete] = exchange.res.tryEnd(body.subarray(offset), body.length);
        if (isComplete) this.#finish(exchange);
        return isAllTaken;
      } catch (cause) {
        this.#fault(exchange, cause);
        return true;
      }
    });
  }

  #finish(exchange: Exchange): void {
    if (exchange.state === "done") return;
    exchange.state = "done";
    this.#forget(exchange);
    this.#replyBytes -= exchange.replyBytes;
    this.#exchanges.delete(exchange);
  }

  /** Drops the request's body. */
  #forget(exchange: Exchange): void {
    this.#bytes -= exchange.bytes;
    exchange.body = NO_BODY;
    exchange.bytes = 0;
  }
}

function nameExchange(exchange: Exchange, { headers }: Head): void {
  const given = headers.get(REQUEST_ID_HEADER);
  if (given === undefined || !REQUEST_ID.test(given)) return;
  exchange.id = given;
  exchange.isNamed = true;
}

function copyHead(req: RequestSocket, headBytes: number, address: string | undefined): Head | CodedError {
  const path = req.getUrl();
  const query = req.getQuery() ?? "";
  const headers = new Map<string, string>();
  let bytes = path.length + query.length;
  req.forEach((name, value) => {
    bytes += name.length + value.length;
    if (bytes > headBytes) return;
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before}, ${value}`);
  });
  if (bytes > headBytes)
    return new HttpError(
      431,
      "too_large",
      `path, query and headers have at most ${headBytes} bytes together`,
    );
  return { method: req.getCaseSensitiveMethod().toUpperCase(), path, query, headers, address };
}
