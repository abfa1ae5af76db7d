import type { Push, RequestBody } from "./effect.js";
import { FanwireError } from "./errors.js";

/** Requests under way at once: below what a server takes, so that a burst waits here and is not refused there. */
const IN_FLIGHT_MAX = 128;

/** Where asking twice does no harm, so that a lost answer does not end the request. */
export type Repeat = "never" | "same connection" | "any connection";

/** A token and a round trip belong to their connection. */
export const REPEAT: Readonly<Record<RequestBody["type"], Repeat>> = {
  publish: "never",
  history: "any connection",
  presence: "any connection",
  authenticate: "same connection",
  ping: "same connection",
};

/** One encoded request. */
export interface Request {
  readonly id: number;
  readonly ref: number;
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly dueMs: number;
  readonly repeat: Repeat;
}

/** The requests that wait for the connection or for their answer. Bounded, in order, each settled exactly once. */
export class Requests {
  readonly #push: Push;
  readonly #countMax: number;
  readonly #bytesMax: number;
  #queued = new Map<number, Request>();
  #queuedBytes = 0;
  readonly #sent = new Map<number, Request>();
  /** Asked again after a lag. Once only: it may be their answers that this connection is too slow for. */
  readonly #repeated = new WeakSet<Request>();
  #earliestMs = Number.POSITIVE_INFINITY;

  constructor(push: Push, countMax: number, bytesMax: number) {
    this.#push = push;
    this.#countMax = countMax;
    this.#bytesMax = bytesMax;
  }

  get inFlight(): number {
    return this.#sent.size;
  }

  /** A lower bound of when {@link Requests.expire} has something to do. */
  get nextDueMs(): number {
    return this.#queued.size + this.#sent.size === 0 ? Number.POSITIVE_INFINITY : this.#earliestMs;
  }

  add(request: Request): void {
    const { id, ref, name, bytes, dueMs } = request;
    if (this.#queued.size >= this.#countMax || this.#queuedBytes + bytes.length > this.#bytesMax) {
      const full = `${this.#queued.size} requests of ${this.#queuedBytes} bytes wait for the connection`;
      const allowed = `at most ${this.#countMax} of ${this.#bytesMax} bytes may`;
      this.#refuse(id, new FanwireError("unavailable", `${name} not sent: ${full}, ${allowed}`));
      return;
    }
    this.#queued.set(ref, request);
    this.#queuedBytes += bytes.length;
    this.#earliestMs = Math.min(this.#earliestMs, dueMs);
  }

  /** What may go out now; it counts as sent. */
  take(bytesMax: number): Uint8Array[] {
    const out: Uint8Array[] = [];
    for (const request of this.#queued.values()) {
      if (this.#sent.size >= IN_FLIGHT_MAX) break;
      this.#dequeue(request);
      const { id, ref, name, bytes } = request;
      if (bytes.length > bytesMax) {
        const text = `${name} of ${bytes.length} bytes: the server takes at most ${bytesMax}`;
        this.#refuse(id, new FanwireError("too_large", text));
      } else {
        this.#sent.set(ref, request);
        out.push(bytes);
      }
    }
    return out;
  }

  answer(ref: number, result: unknown): void {
    const request = this.#sent.get(ref);
    if (request === undefined) return;
    this.#sent.delete(ref);
    this.#push({ kind: "answer", id: request.id, result });
  }

  refuse(ref: number, error: FanwireError): void {
    const request = this.#sent.get(ref);
    if (request === undefined) return;
    this.#sent.delete(ref);
    this.#refuse(request.id, error);
  }

  expire(nowMs: number): void {
    if (nowMs < this.#earliestMs) return;
    this.#earliestMs = Number.POSITIVE_INFINITY;
    for (const request of [...this.#queued.values(), ...this.#sent.values()]) {
      if (nowMs < request.dueMs) {
        this.#earliestMs = Math.min(this.#earliestMs, request.dueMs);
        continue;
      }
      const maybeDone = this.#sent.delete(request.ref);
      if (!maybeDone) this.#dequeue(request);
      const text = maybeDone ? "no answer in time" : "not sent, there was no connection in time";
      this.#refuse(request.id, lost("timeout", request, text, maybeDone));
    }
  }

  /** The connection broke: what was under way is asked again where that does no harm, and else has an unknown outcome. */
  disconnected(): void {
    this.#unanswered(
      "the connection broke before the answer",
      (request) => request.repeat === "any connection",
    );
  }

  /** Frames were dropped: an answer that has not come is not coming. */
  lagged(): void {
    this.#unanswered("the connection lagged, which lost the answer", (request) => {
      if (request.repeat === "never" || this.#repeated.has(request)) return false;
      this.#repeated.add(request);
      return true;
    });
  }

  /** Ends all of them. */
  end(reason: string): void {
    const sent = [...this.#sent.values()];
    const queued = [...this.#queued.values()];
    this.#sent.clear();
    this.#queued.clear();
    this.#queuedBytes = 0;
    for (const request of sent) this.#refuse(request.id, lost("closed", request, reason, true));
    for (const request of queued) {
      this.#refuse(request.id, lost("closed", request, `not sent, ${reason}`, false));
    }
  }

  #unanswered(why: string, isRepeated: (request: Request) => boolean): void {
    const sent = [...this.#sent.values()];
    const again = sent.filter(isRepeated);
    this.#sent.clear();
    this.#queued = new Map([...again.map((request) => [request.ref, request] as const), ...this.#queued]);
    for (const request of again) this.#queuedBytes += request.bytes.length;
    for (const request of sent) {
      if (!this.#queued.has(request.ref)) this.#refuse(request.id, lost("unavailable", request, why, true));
    }
  }

  #dequeue(request: Request): void {
    this.#queued.delete(request.ref);
    this.#queuedBytes -= request.bytes.length;
  }

  #refuse(id: number, error: FanwireError): void {
    this.#push({ kind: "refusal", id, error });
  }
}

function lost(
  code: "timeout" | "unavailable" | "closed",
  request: Request,
  text: string,
  sent: boolean,
): FanwireError {
  const maybeDone = sent && request.repeat !== "any connection";
  const hint = maybeDone ? "; it may or may not have been carried out" : "";
  return new FanwireError(code, `${request.name}: ${text}${hint}`, { maybeDone });
}
