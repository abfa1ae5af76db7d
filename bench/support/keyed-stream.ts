import { encode } from "@msgpack/msgpack";
import { hostMicros } from "./clock.js";
import { Histogram } from "./histogram.js";
import { createContent, setDue } from "./message-scan.js";

export interface KeyedStreamPlan {
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

  /** Resolves with the number of messages when all of them are stored. @throws Error for any refusal. */
  async stop(): Promise<number> {
    clearInterval(this.#timer);
    await Promise.all(this.#answers);
    if (this.#failure !== undefined) throw this.#failure;
    return this.#sent;
  }

  #fire(): void {
    if (this.#answers.size >= IN_FLIGHT_MAX) return;
    const { room, keys, perSecond, bytes } = this.#plan;
    const batch: object[] = [];
    for (const nowMicros = hostMicros(); ; this.#sent += 1) {
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
    const answer = await fetch(`http://127.0.0.1:${this.#plan.port}/v1/messages`, {
      method: "POST",
      headers: { "content-type": "application/msgpack" },
      body: Buffer.from(body),
    });
    if (!answer.ok) throw new Error(`publishing was answered ${answer.status}: ${await answer.text()}`);
    await answer.arrayBuffer();
  }
}
