import { type EventStream, valuesOf } from "./event-stream.js";

/** All streams of this process, and who of them is on which topic. */
export class EventStreams {
  readonly #topics = new Map<string, Set<EventStream>>();
  /** Each with its topics: whoever closes a socket is not asked to leave them one by one. */
  readonly #streams = new Map<EventStream, Set<string>>();

  get size(): number {
    return this.#streams.size;
  }

  add(stream: EventStream): void {
    this.#streams.set(stream, new Set());
  }

  /** Takes it off all topics, too. */
  delete(stream: EventStream): void {
    for (const topic of this.#streams.get(stream) ?? []) this.leave(stream, topic);
    this.#streams.delete(stream);
  }

  join(stream: EventStream, topic: string): void {
    const topics = this.#streams.get(stream);
    // It is closed.
    if (topics === undefined) return;
    topics.add(topic);
    const streams = this.#topics.get(topic) ?? new Set();
    this.#topics.set(topic, streams);
    streams.add(stream);
  }

  leave(stream: EventStream, topic: string): void {
    const streams = this.#topics.get(topic);
    this.#streams.get(stream)?.delete(topic);
    streams?.delete(stream);
    if (streams?.size === 0) this.#topics.delete(topic);
  }

  /** Reads a frame once for all who are on its topic. */
  publish(topic: string, frame: Uint8Array): void {
    const streams = this.#topics.get(topic);
    if (streams === undefined) return;
    const values = valuesOf(frame);
    for (const stream of [...streams]) stream.take(values);
  }

  /** About once a second. */
  sweep(nowMs: number): void {
    for (const stream of [...this.#streams.keys()]) stream.sweep(nowMs);
  }
}
