import type { ByteBudget } from "../../core/byte-budget.js";
import type { HistoryFrom, HistoryPage, Sink } from "../../core/ports.js";
import { Ring } from "../../core/ring.js";
import type { RoomSettings } from "../../core/settings.js";
import type { ResetReason } from "../../protocol/frames.js";
import { createMessage, type Message } from "../../protocol/message.js";
import type { RoomName } from "../../protocol/room-name.js";
import type { NatsLimits } from "./limits.js";
import type { NatsCounters } from "./nats-counters.js";
import { contentOf, type StoredMessage } from "./stored-message.js";
import type { Stream } from "./streams.js";

/** What all open rooms share. */
export interface Delivery {
  readonly limits: NatsLimits;
  readonly counters: NatsCounters;
  readonly nowMs: () => number;
  readonly tailBudget: ByteBudget;
  /** Told what a sink threw; must not throw. */
  readonly onSinkError: (cause: unknown, room: RoomName) => void;
}

/**
 * One open room's end of the flow: makes messages of what comes in order, hands them to the sink, and keeps the most
 * recent ones, so that whoever comes back after a short while does not have to ask NATS.
 */
export class OpenRoom {
  readonly name: RoomName;
  readonly token: string;
  readonly stream: Stream;
  readonly history: RoomSettings["history"];
  /** The highest offset that a publish through this node was acknowledged with. */
  acknowledged = 0;
  closed = false;
  readonly #sink: Sink;
  readonly #delivery: Delivery;
  readonly #tail: Ring;
  #last = 0;
  #opened: number | undefined;

  constructor(
    name: RoomName,
    token: string,
    stream: Stream,
    history: RoomSettings["history"],
    sink: Sink,
    delivery: Delivery,
  ) {
    this.name = name;
    this.token = token;
    this.stream = stream;
    this.history = history;
    this.#sink = sink;
    this.#delivery = delivery;
    this.#tail = new Ring(delivery.tailBudget, delivery.limits.tailMessages, 0);
  }

  /** The last offset that was handed to the sink, or the position it was opened at. */
  get last(): number {
    return this.#last;
  }

  /** Where it was opened; undefined until then. */
  get opened(): number | undefined {
    return this.#opened;
  }

  /** The position after which everything flows. */
  start(offset: number): void {
    this.#opened = offset;
    this.#last = offset;
    this.#tail.clear(offset);
  }

  /** The next message of the room. */
  deliver(stored: StoredMessage): void {
    if (this.closed || stored.sequence <= this.#last) return;
    const { limits, counters, nowMs } = this.#delivery;
    const content = contentOf(this.name, stored, limits, counters, nowMs());
    const message = createMessage({ ...content, offset: stored.sequence, prev: this.#last });
    this.#last = stored.sequence;
    this.#tail.append(message);
    try {
      this.#sink.message(message);
    } catch (cause) {
      this.#blame(cause);
    }
  }

  /** Continuity is lost; numbering goes on after the offset, in the stream's present epoch. */
  reset(offset: number, reason: ResetReason): void {
    this.#last = offset;
    this.#tail.clear(offset);
    if (this.closed) return;
    this.#delivery.counters.resets += 1;
    try {
      this.#sink.reset(this.name, this.stream.position(offset), reason);
    } catch (cause) {
      this.#blame(cause);
    }
  }

  /** Nothing is handed to the sink any more. */
  close(): void {
    this.closed = true;
    this.#tail.clear(this.#last);
  }

  /** A page from memory, where that has all of it; the epoch is that of the stream. */
  page(from: HistoryFrom, limit: number): HistoryPage | undefined {
    // What was stored through this node and has not come back yet belongs into the page.
    if (this.#opened === undefined || this.acknowledged > this.#last) return undefined;
    this.#tail.expire(this.#delivery.nowMs() - this.history.seconds * 1_000);
    const head = this.stream.position(this.#last);
    const { size } = this.#tail;
    let index = size;
    if (from === "oldest") return undefined;
    if ("last" in from) {
      if (Math.min(from.last, this.history.messages) > size) return undefined;
      index = size - Math.min(from.last, this.history.messages);
    } else {
      const { offset } = from.after;
      if (offset > this.#last || !this.#tail.covers(offset)) return undefined;
      index = this.#tail.indexAfter(offset);
      if (size - index > this.history.messages) return { kind: "lost", reason: "expired", head };
    }
    const messages: Message[] = [];
    for (let place = index; place < size && messages.length < limit; place += 1) {
      const message = this.#tail.at(place);
      if (message !== undefined) messages.push(message);
    }
    return { kind: "page", messages, more: index + messages.length < size, head };
  }

  #blame(cause: unknown): void {
    this.#delivery.counters.sinkErrors += 1;
    this.#delivery.onSinkError(cause, this.name);
  }
}
