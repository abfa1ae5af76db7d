import { HttpError } from "../http-reply.js";
import type { StreamResponse } from "./event-response.js";
import { messagesOf, RequestBody } from "./request-body.js";
import { ResponseStream, type ResponseStreamOptions } from "./response-stream.js";
import { SharedFrame } from "./shared-frame.js";

export interface FrameStreamOptions extends ResponseStreamOptions {
  /** Requests and frames are MessagePack; else JSON. */
  readonly isBinary: boolean;
  /** Of one message to the session. */
  readonly payloadBytes: number;
}

/** Below the 8 to 12 s after which uWebSockets.js cuts a request that comes too slowly. */
const BODY_MS = 7_000;

/**
 * A WebSocket of one direction: the request's body holds all that the client says, each event is one WebSocket message of the server.
 * Nothing is done in the client's place. For clients that speak the protocol where no WebSocket comes through.
 */
export class FrameStream extends ResponseStream {
  readonly #options: FrameStreamOptions;
  #body: RequestBody | undefined = new RequestBody();
  /** "reading": the body is not whole, or nobody said welcome yet. */
  #state: "reading" | "open" = "reading";
  #isBodyWhole = false;
  /** What the session says meanwhile: welcome, or why not. */
  #early = "";

  constructor(res: StreamResponse, options: FrameStreamOptions, nowMs: number) {
    super(res, options, nowMs);
    this.#options = options;
    res.onData((chunk, isLast) => this.#read(chunk, isLast));
  }

  override send(message: Uint8Array): number {
    return this.take(new SharedFrame(message, this.#options.isBinary));
  }

  override take(frame: SharedFrame): number {
    const response = this.response;
    if (response.state === "closed") return 1;
    if (this.#state === "reading") {
      this.#early += frame.event;
      // Not within the call that says welcome: the session is there once it returns.
      queueMicrotask(() => this.#begin());
      return 1;
    }
    if (response.isFull) {
      this.owner.dropped();
      return 2;
    }
    response.write(frame.event);
    return response.waitingBytes > 0 ? 0 : 1;
  }

  override sweep(nowMs: number): void {
    if (this.#isBodyWhole) this.response.sweep(nowMs);
    else if (this.response.ageMs(nowMs) >= BODY_MS)
      this.response.refuse(new HttpError(408, "timeout", `the body was not here within ${BODY_MS} ms`));
  }

  #read(chunk: ArrayBuffer, isLast: boolean): void {
    if (this.response.state !== "asking" || this.#isBodyWhole) return;
    try {
      this.#body?.add(chunk);
      this.#isBodyWhole = isLast;
      if (isLast) this.#begin();
    } catch (cause) {
      this.response.refuse(cause);
    }
  }

  #begin(): void {
    if (this.#state !== "reading" || !this.#isBodyWhole || this.#early === "") return;
    if (this.response.state === "closed" || this.#body === undefined) return;
    const { isBinary, payloadBytes } = this.#options;
    let messages: Uint8Array[];
    try {
      messages = messagesOf(this.#body.bytes, isBinary, payloadBytes);
    } catch (cause) {
      this.response.refuse(cause);
      return;
    }
    this.#state = "open";
    this.response.write(this.#early);
    this.#early = "";
    this.#body = undefined;
    for (const message of messages) this.owner.ask(message);
  }
}
