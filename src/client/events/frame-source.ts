import { textOf } from "./codec.js";
import { bytesOf, EventParser } from "./event-parser.js";
import { fieldOf, type Http, refusalOf } from "./http.js";

export interface SourceEvents {
  /** One WebSocket message of the server. */
  frames(payload: ArrayBuffer): void;
  /** It is over; called once, unless it was closed from here. A code as of a WebSocket. */
  ended(code: number, reason: string): void;
}

/** The server says something in every 10 s. */
const SILENCE_MS = 25_000;
/** It answers at once. Node's fetch never ends, once in a while, where the connection closes as it opens. */
const ANSWER_MS = 5_000;
const LOOK_MS = 1_000;
/** No close frame was received: the code that WebSockets report for it. */
const CODE_ABNORMAL = 1006;
const CLOSE_CODES: Readonly<Record<string, number>> = {
  unauthenticated: 4401,
  forbidden: 4403,
  rate_limited: 4429,
  unavailable: 4503,
};

/** One stream of the server's frames, which answers the requests that it begins with. */
export class FrameSource {
  readonly #events: SourceEvents;
  readonly #abort = new AbortController();
  readonly #watch: ReturnType<typeof setInterval>;
  #heardMs = performance.now();
  #isAnswered = false;
  #isOver = false;

  constructor(http: Http, requests: Uint8Array<ArrayBuffer>, events: SourceEvents) {
    this.#events = events;
    this.#watch = setInterval(() => {
      const silentMs = performance.now() - this.#heardMs;
      if (!this.#isAnswered && silentMs > ANSWER_MS) this.#end(CODE_ABNORMAL, "nothing answers");
      else if (silentMs > SILENCE_MS) this.#end(CODE_ABNORMAL, "the stream of events is silent");
    }, LOOK_MS);
    this.#run(http, requests).then(
      () => this.#end(CODE_ABNORMAL, "the stream of events ended"),
      (cause) => this.#end(CODE_ABNORMAL, textOf(cause)),
    );
  }

  /** Ends it: nothing is heard of it any more. */
  close(): void {
    this.#isOver = true;
    clearInterval(this.#watch);
    this.#abort.abort();
  }

  async #run(http: Http, requests: Uint8Array<ArrayBuffer>): Promise<void> {
    const response = await http.post("/v1/events", requests, this.#abort.signal);
    this.#isAnswered = true;
    if (!response.ok) {
      const { code, message } = await refusalOf(response, http.codec);
      this.#end(CLOSE_CODES[code] ?? CODE_ABNORMAL, message);
      return;
    }
    if (!response.headers.get("content-type")?.startsWith("text/event-stream"))
      throw new Error("what answers speaks no events");
    const reader = response.body?.getReader();
    const decoder = new TextDecoder();
    const parser = new EventParser();
    for (;;) {
      const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
      if (done || this.#isOver) return;
      this.#heardMs = performance.now();
      for (const { name, data } of parser.take(decoder.decode(value, { stream: true }))) {
        if (name === "end") this.#endBy(data);
        else if (name === "" && !this.#isOver) this.#events.frames(bytesOf(data).buffer);
      }
    }
  }

  #endBy(data: string): void {
    const said: unknown = JSON.parse(data);
    const code = fieldOf(said, "code");
    this.#end(typeof code === "number" ? code : CODE_ABNORMAL, String(fieldOf(said, "reason")));
  }

  #end(code: number, reason: string): void {
    if (this.#isOver) return;
    this.close();
    this.#events.ended(code, reason);
  }
}
