import { encode } from "@msgpack/msgpack";
import { hostMicros } from "./clock.js";
import { authorityOf } from "./engine-url.js";
import { Histogram } from "./histogram.js";
import { createContent, setDue } from "./message-scan.js";
import { Refused, refusalText } from "./refused.js";

export interface KeyedStreamPlan {
  readonly host: string;
  readonly port: number;
  readonly room: string;
  /** Messages take turns through so many keys. 0: none has one. */
  readonly keys: number;
  readonly perSecond: number;
  readonly bytes: number;
  /** How often what is due goes out, a request each time. Default 5. */
  readonly everyMs?: number;
}

/** Requests under way at the most; when the server is slower, later ones carry more. */
const IN_FLIGHT_MAX = 8;
const EVERY_MS = 5;
/** Of data in one request: half of what engines take unless told otherwise. What is due beyond that goes with the next. */
const REQUEST_BYTES_MAX = 524_288;

/** Publishes at an even rate over HTTP until it is stopped: an open loop, each message with the time it was due. */
export class KeyedStream {
  readonly #plan: KeyedStreamPlan;
  readonly #startMicros = hostMicros();
  readonly #timer: NodeJS.Timeout;
  readonly #answers = new Set<Promise<void>>();
  /** How late each message was sent, since it was asked last: of what is measured, the bench's own part. */
  #late = new Histogram();
  #sent = 0;
  #failure: unknown;

  constructor(plan: KeyedStreamPlan) {
    this.#plan = plan;
    this.#timer = setInterval(() => this.#fire(), plan.everyMs ?? EVERY_MS);
  }

  takeLate(): Histogram {
    const late = this.#late;
    this.#late = new Histogram();
    return late;
  }

  /** @throws Refused, or what else went wrong so far: nobody need wait for the end to know. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Resolves with the number of messages when all of them are stored. @throws Error, see {@link check}. */
  async stop(): Promise<number> {
    clearInterval(this.#timer);
    await Promise.all(this.#answers);
    this.check();
    return this.#sent;
  }

  #fire(): void {
    if (this.#answers.size >= IN_FLIGHT_MAX) return;
    const { room, keys, perSecond, bytes } = this.#plan;
    const batch: object[] = [];
    const most = Math.max(1, Math.floor(REQUEST_BYTES_MAX / bytes));
    for (const nowMicros = hostMicros(); batch.length < most; this.#sent += 1) {
      const dueMicros = this.#startMicros + (this.#sent * 1_000_000) / perSecond;
      if (dueMicros > nowMicros) break;
      const data = createContent(bytes);
      setDue(data, dueMicros);
      this.#late.record(nowMicros - dueMicros);
      batch.push(keys === 0 ? { room, data } : { room, data, key: `symbol-${this.#sent % keys}` });
    }
    if (batch.length === 0) return;
    const answer = this.#post(encode(batch)).catch((cause: unknown) => {
      this.#failure ??= cause;
    });
    this.#answers.add(answer);
    void answer.then(() => this.#answers.delete(answer));
  }

  async #post(body: Uint8Array): Promise<void> {
    const answer = await fetch(`http://${authorityOf(this.#plan)}/v1/messages`, {
      method: "POST",
      headers: { "content-type": "application/msgpack" },
      body: Buffer.from(body),
    });
    const text = await answer.text();
    // A message of a batch is refused in its place, under status 200.
    if (answer.ok && !text.includes('"error"')) return;
    const refusal = refusalIn(text);
    if (refusal === undefined) throw new Error(`publishing was answered ${answer.status}: ${text}`);
    throw new Refused(refusalText(`publishing to ${this.#plan.room}`, refusal.code, refusal.message));
  }
}

/** The first coded error of a reply; undefined where there is none, as from something between us and the engine. */
function refusalIn(text: string): { readonly code: unknown; readonly message: unknown } | undefined {
  let reply: unknown;
  try {
    reply = JSON.parse(text);
  } catch {
    return undefined;
  }
  for (const item of Array.isArray(reply) ? reply : [reply]) {
    const error: unknown = item?.error;
    if (typeof error === "object" && error !== null && "code" in error && "message" in error) return error;
  }
  return undefined;
}
