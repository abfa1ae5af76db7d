import { type CodedError, type ErrorCode, toCodedError } from "../../protocol/errors.js";
import { type ReplySocket, writeReply } from "../gateway-reply.js";
import { JSON_FORMAT } from "../http-format.js";
import { errorReply } from "../http-reply.js";

/** What of a uWebSockets.js response is used. Throws after it was ended or the client went away. */
export interface StreamResponse extends ReplySocket {
  /** False where the kernel did not take all of it. */
  write(chunk: string): boolean;
  onWritable(handler: (offset: number) => boolean): unknown;
  onAborted(handler: () => void): unknown;
  /** Chunks are valid during the call only. A request without a body gives one empty last chunk. */
  onData(handler: (chunk: ArrayBuffer, isLast: boolean) => void): unknown;
  close(): unknown;
}

export interface ResponseOptions {
  readonly headers: Readonly<Record<string, string>>;
  /** Most that waits for its client; one chunk more may. */
  readonly bufferBytes: number;
  /** What waited was taken. */
  readonly drained: () => void;
  /** It was refused, and is over. */
  readonly refused: () => void;
  /** It is over; called once. */
  readonly closed: (code: number) => void;
}

/** When a browser comes back whose connection ended, unless it is told otherwise. */
const RETRY_MS = 2_000;
/** Answered by then, if only with a comment: uWebSockets.js cuts off a response on which nothing is written for 10 s. */
const HEARTBEAT_MS = 7_000;
const START_MS = 3_000;

/** An answer that is written event by event, for as long as somebody is there: bounded, and never quiet for long. */
export class EventResponse {
  readonly #res: StreamResponse;
  readonly #options: ResponseOptions;
  readonly #madeMs: number;
  #state: "asking" | "streaming" | "closed" = "asking";
  /** Given to the response since it last took everything. */
  #waitingBytes = 0;
  #writtenMs: number;

  constructor(res: StreamResponse, options: ResponseOptions, nowMs: number) {
    this.#res = res;
    this.#options = options;
    this.#madeMs = nowMs;
    this.#writtenMs = nowMs;
    res.onAborted(() => this.#closed(1006));
    res.onWritable(() => {
      this.#waitingBytes = 0;
      options.drained();
      return true;
    });
  }

  /** "asking": nothing was written yet, so that it can still be refused with a status. */
  get state(): "asking" | "streaming" | "closed" {
    return this.#state;
  }

  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  get isFull(): boolean {
    return this.#waitingBytes > this.#options.bufferBytes;
  }

  /** How long it has been asking. */
  ageMs(nowMs: number): number {
    return nowMs - this.#madeMs;
  }

  write(text: string): void {
    if (text === "" || this.#state === "closed") return;
    const res = this.#res;
    let isTaken = true;
    res.cork(() => {
      if (this.#state === "asking") this.#start();
      isTaken = res.write(text);
    });
    this.#writtenMs = performance.now();
    if (!isTaken || this.#waitingBytes > 0) this.#waitingBytes += Buffer.byteLength(text);
  }

  /** Instead of any event. */
  refuse(cause: unknown): void {
    if (this.#state !== "asking") return;
    const error: CodedError = toCodedError(cause);
    writeReply(this.#res, errorReply(JSON_FORMAT, error), { close: true, common: this.#options.headers });
    this.#options.refused();
    this.#closed(4403);
  }

  /** Ends it; the client comes back by itself. */
  end(code: number, reason: string): void {
    if (this.#state === "closed") return;
    this.write(eventText("end", { code, reason }));
    this.#res.cork(() => this.#res.end("", true));
    this.#closed(code);
  }

  /** Cuts it off. */
  close(): void {
    if (this.#state !== "closed") this.#res.close();
  }

  /** About once a second. */
  sweep(nowMs: number): void {
    if (this.#state === "asking" && this.ageMs(nowMs) >= START_MS) this.write(":\n\n");
    else if (
      this.#state === "streaming" &&
      nowMs - this.#writtenMs >= HEARTBEAT_MS &&
      this.#waitingBytes === 0
    )
      this.write(":\n\n");
  }

  #start(): void {
    this.#state = "streaming";
    this.#res.writeStatus("200 OK");
    for (const [name, value] of Object.entries({ ...HEADERS, ...this.#options.headers }))
      this.#res.writeHeader(name, value);
    this.#res.write(`retry: ${RETRY_MS}\n\n`);
  }

  #closed(code: number): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#waitingBytes = 0;
    this.#options.closed(code);
  }
}

const HEADERS = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-store",
  // nginx would keep events until a buffer is full.
  "x-accel-buffering": "no",
} as const;

/** JSON holds no line break, so the data is one line. `message` is what a browser takes it for without a name. */
export function eventText(event: string, data: object, id?: string): string {
  const name = event === "message" ? "" : `event: ${event}\n`;
  return `${id === undefined ? "" : `id: ${id}\n`}${name}data: ${JSON.stringify(data)}\n\n`;
}

/** What a close before the first event is answered with. */
export function codeOfClose(code: number): ErrorCode {
  if (code === 4401) return "unauthenticated";
  if (code === 4403) return "forbidden";
  if (code === 4429) return "rate_limited";
  return code === 4400 ? "bad_request" : "unavailable";
}
