import { FanwireError } from "./errors.js";
import type { Message } from "./message.js";

interface Waiter<T> {
  resolve(result: IteratorResult<Message<T>, undefined>): void;
  reject(cause: FanwireError): void;
}

/**
 * Messages between a subscription and one `for await` loop. Bounded: a loop that falls further behind gets what is
 * queued, without a hole, and then the error `overflow`.
 */
export class MessageQueue<T> implements AsyncIterableIterator<Message<T>> {
  readonly #max: number;
  readonly #onDone: () => void;
  #messages: Message<T>[] = [];
  /** Of the first message not yet taken, so that taking one need not move the others. */
  #head = 0;
  #waiters: Waiter<T>[] = [];
  /** Set once it takes no more messages; `error` is thrown once. */
  #end: { error: FanwireError | undefined } | undefined;

  constructor(max: number, onDone: () => void) {
    this.#max = max;
    this.#onDone = onDone;
  }

  push(message: Message<T>): void {
    if (this.#end !== undefined) return;
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) {
      waiter.resolve({ done: false, value: message });
    } else if (this.#messages.length - this.#head < this.#max) {
      this.#messages.push(message);
    } else {
      const text = `${message.room}: the loop is ${this.#max} messages behind; subscribe again after the last one it got`;
      this.end(new FanwireError("overflow", text));
    }
  }

  /** No more messages: the loop ends behind what is queued, with the error where there is one. */
  end(error: FanwireError | undefined): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    this.#onDone();
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) this.#next(waiter);
  }

  next(): Promise<IteratorResult<Message<T>, undefined>> {
    return new Promise((resolve, reject) => this.#next({ resolve, reject }));
  }

  return(): Promise<IteratorResult<Message<T>, undefined>> {
    this.#messages = [];
    this.#head = 0;
    this.end(undefined);
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #next(waiter: Waiter<T>): void {
    const message = this.#messages[this.#head];
    if (message !== undefined) {
      this.#head++;
      if (this.#head === this.#messages.length || this.#head > 1_000) {
        this.#messages = this.#messages.slice(this.#head);
        this.#head = 0;
      }
      waiter.resolve({ done: false, value: message });
    } else if (this.#end === undefined) {
      this.#waiters.push(waiter);
    } else if (this.#end.error === undefined) {
      waiter.resolve({ done: true, value: undefined });
    } else {
      const { error } = this.#end;
      this.#end.error = undefined;
      waiter.reject(error);
    }
  }
}
