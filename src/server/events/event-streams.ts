import type { Socket } from "../gateway-socket.js";
import { SharedFrame } from "./shared-frame.js";

/** A stream of events, which its session takes for a WebSocket. */
export interface Stream extends Socket {
  /** As `send`, for a frame that goes to others too. */
  take(frame: SharedFrame): number;
  /** About once a second. */
  sweep(nowMs: number): void;
}

/** What a stream asks of whoever has it. */
export interface StreamOwner {
  /** Hands the session requests, as one WebSocket message. */
  ask(requests: string | Uint8Array): void;
  join(stream: Stream, topic: string): void;
  leave(stream: Stream, topic: string): void;
  /** A frame was not taken: too much waits. */
  dropped(): void;
  /** What waited was taken. */
  drained(): void;
  /** It was refused with a status. */
  refused(): void;
  /** It is over; called once. */
  closed(code: number): void;
}

/** All streams of this process, and who of them is on which topic. */
export class EventStreams {
  readonly #topics = new Map<string, Set<Stream>>();
  /** Each with its topics: whoever closes a socket is not asked to leave them one by one. */
  readonly #streams = new Map<Stream, Set<string>>();

  get size(): number {
    return this.#streams.size;
  }

  add(stream: Stream): void {
    this.#streams.set(stream, new Set());
  }

  /** Takes it off all topics, too. */
  delete(stream: Stream): void {
    for (const topic of this.#streams.get(stream) ?? []) this.leave(stream, topic);
    this.#streams.delete(stream);
  }

  join(stream: Stream, topic: string): void {
    const topics = this.#streams.get(stream);
    // It is closed.
    if (topics === undefined) return;
    topics.add(topic);
    const streams = this.#topics.get(topic) ?? new Set();
    this.#topics.set(topic, streams);
    streams.add(stream);
  }

  leave(stream: Stream, topic: string): void {
    const streams = this.#topics.get(topic);
    this.#streams.get(stream)?.delete(topic);
    streams?.delete(stream);
    if (streams?.size === 0) this.#topics.delete(topic);
  }

  /** To all who are on the topic. */
  publish(topic: string, frame: Uint8Array, isBinary: boolean): void {
    const streams = this.#topics.get(topic);
    if (streams === undefined) return;
    const shared = new SharedFrame(frame, isBinary);
    for (const stream of [...streams]) stream.take(shared);
  }

  /** About once a second. */
  sweep(nowMs: number): void {
    for (const stream of [...this.#streams.keys()]) stream.sweep(nowMs);
  }
}
