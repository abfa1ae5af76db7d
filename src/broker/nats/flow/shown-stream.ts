import type { FlowMessage } from "./flow-port.js";

/** A message that a stream has shown. */
export interface Checkpoint {
  readonly sequence: number;
  readonly mark: number;
}

/** What a stream has shown of itself: how far it has come, and messages to recognise it by. */
export class ShownStream<M extends FlowMessage> {
  readonly #markOf: (message: M) => number;
  // Not a Checkpoint: one would be made for every message.
  #newestSequence = 0;
  #newestMark = 0;
  #end = 0;
  #checkpoints: readonly Checkpoint[] = [];
  /** Answers in a row of a stream that had not come as far as was seen of it, and when the first came. */
  #behind = 0;
  #behindSinceMs = 0;

  constructor(markOf: (message: M) => number) {
    this.#markOf = markOf;
  }

  /** What was newest at the last sweep and at each gap since, oldest first: any of these gaps may hide another store. */
  get checkpoints(): readonly Checkpoint[] {
    return this.#checkpoints;
  }

  get newest(): Checkpoint {
    return { sequence: this.#newestSequence, mark: this.#newestMark };
  }

  /** How far it has come in messages by which it would be recognised. */
  get reached(): number {
    return this.#newestSequence;
  }

  /** How far it has come at least. */
  get end(): number {
    return Math.max(this.#end, this.#newestSequence);
  }

  saw(message: M): void {
    if (message.sequence <= this.#newestSequence) return;
    this.#newestSequence = message.sequence;
    this.#newestMark = this.#markOf(message);
  }

  came(upTo: number): void {
    this.#end = Math.max(this.#end, upTo);
  }

  /** From here on it may be another one. */
  gap(): void {
    const { newest } = this;
    const [oldest, ...others] = this.#checkpoints;
    if (newest.sequence > (this.#checkpoints.at(-1)?.sequence ?? 0))
      this.#checkpoints =
        oldest === undefined ? [newest] : [oldest, ...others.slice(2 - CHECKPOINTS_MAX), newest];
    // A fresh leader gets its time to catch up with itself.
    this.#behind = 0;
  }

  /** Up to here it was what it had been. */
  recognised(newest: Checkpoint): void {
    this.#checkpoints = newest.sequence > 0 ? [newest] : [];
  }

  /** Whether a message is another one than was seen under its number. */
  isOther(checkpoints: readonly Checkpoint[], found: readonly M[]): boolean {
    return found.some((message) =>
      checkpoints.some(
        ({ sequence, mark }) => sequence === message.sequence && mark !== this.#markOf(message),
      ),
    );
  }

  /** It had not come as far as was seen of it, once more: whether for too long. */
  isBehind(nowMs: number, staleMs: number): boolean {
    if (this.#behind === 0) this.#behindSinceMs = nowMs;
    this.#behind += 1;
    return this.#behind >= BEHIND_MIN && nowMs - this.#behindSinceMs >= staleMs;
  }

  /** It has come as far. */
  forgive(): void {
    this.#behind = 0;
  }

  /** It counts anew. */
  clear(): void {
    this.#newestSequence = 0;
    this.#newestMark = 0;
    this.#end = 0;
    this.#checkpoints = [];
  }
}

/** Each costs a sweep the read of one message. So many gaps in a row without one sweep that came to an end are rare. */
const CHECKPOINTS_MAX = 8;

/** One answer may come from a server that no longer leads and does not know it yet; so many in a row do not. */
const BEHIND_MIN = 3;
