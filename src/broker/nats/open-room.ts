import type { HistoryBudget } from "../../core/history-budget.js";
import type { HistoryFrom, HistoryPage, Sink } from "../../core/ports.js";
import { Ring } from "../../core/ring.js";
import type { RoomSettings } from "../../core/settings.js";
import type { Position, ResetReason } from "../../protocol/frames.js";
import { createMessage, type Message } from "../../protocol/message.js";
import type { RoomName } from "../../protocol/room-name.js";
import type { RoomSink } from "./flow/flow-port.js";
import type { NatsLimits } from "./limits.js";
import type { NatsCounters } from "./nats-counters.js";
import { contentOf, type StoredMessage } from "./stored-message.js";
import type { Stream } from "./streams.js";

/** What all open rooms share. */
export interface Delivery {
  readonly limits: NatsLimits;
  readonly counters: NatsCounters;
  readonly nowMs: () => number;
  readonly tailBudget: HistoryBudget;
  /** Told what a sink threw; must not throw. */
  readonly onSinkError: (cause: unknown, room: RoomName) => void;
}

/**
 * One open room's end of the flow: makes messages of what comes in order, hands them to the sink, and keeps the most
 * recent ones, so that whoever comes back after a short while does not have to ask NATS.
 */
export class OpenRoom implements RoomSink<StoredMessage> {
  readonly name: RoomName;
  readonly token: string;
  readonly stream: Stream;
  readonly history: RoomSettings["history"];
  /** The highest offset that a publish through this node was acknowledged with, in the present numbering. */
  acknowledged = 0;
  closed = false;
  /** How often continuity was lost. */
  resets = 0;
  readonly #sink: Sink;
  readonly #delivery: Delivery;
  readonly #tail: Ring;
  readonly #onOpened: () => void;
  /** The last message, or where the numbering began. */
  #prev = 0;
  /** How far it is known that nothing else came. */
  #last = 0;
  #start: Position | undefined;
  /** Of all that is told; behind the stream's own while the room is still to begin anew. */
  #epoch = "";

  constructor(
    name: RoomName,
    token: string,
    stream: Stream,
    history: RoomSettings["history"],
    sink: Sink,
    delivery: Delivery,
    onOpened: () => void,
  ) {
    this.name = name;
    this.token = token;
    this.stream = stream;
    this.history = history;
    this.#sink = sink;
    this.#delivery = delivery;
    this.#onOpened = onOpened;
    this.#tail = new Ring(name, delivery.tailBudget, delivery.limits.tailMessages, 0);
  }

  /** The last offset that the sink was told: of a message, a reset, a checkpoint, or where it was opened. */
  get last(): number {
    return this.#last;
  }

  /** Where it was opened; undefined until then. */
  get start(): Position | undefined {
    return this.#start;
  }

  /** Whether what it has come to is of the stream's present numbering. */
  get isCurrent(): boolean {
    return this.#start !== undefined && this.#epoch === this.stream.epoch;
  }

  /** The position after which everything flows. */
  opened(head: Position): void {
    this.#start = head;
    this.#epoch = head.epoch;
    this.#begin(head.offset);
    this.#onOpened();
  }

  /** The next message of the room. */
  deliver(stored: StoredMessage): void {
    if (this.closed || stored.sequence <= this.#last) return;
    const { limits, counters, nowMs } = this.#delivery;
    const content = contentOf(this.name, stored, limits, counters, nowMs());
    const message = createMessage({ ...content, offset: stored.sequence, prev: this.#prev });
    this.#prev = stored.sequence;
    this.#last = stored.sequence;
    this.#tail.append(message);
    try {
      this.#sink.message(message);
    } catch (cause) {
      this.#blame(cause);
    }
  }

  /** Continuity is lost; numbering goes on after `head`. */
  reset(head: Position, reason: ResetReason): void {
    if (head.epoch !== this.#epoch) this.acknowledged = 0;
    this.#epoch = head.epoch;
    this.resets += 1;
    this.#begin(head.offset);
    if (this.closed) return;
    try {
      this.#sink.reset(this.name, head, reason);
    } catch (cause) {
      this.#blame(cause);
    }
  }

  /** Nothing lies between what was told last and this offset. */
  checkpoint(offset: number): void {
    if (this.closed || offset <= this.#last) return;
    this.#last = offset;
    try {
      this.#sink.checkpoint?.(this.name, offset);
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
    if (!this.isCurrent || this.acknowledged > this.#last) return undefined;
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

  #begin(offset: number): void {
    this.#prev = offset;
    this.#last = offset;
    this.#tail.clear(offset);
  }

  #blame(cause: unknown): void {
    this.#delivery.counters.sinkErrors += 1;
    this.#delivery.onSinkError(cause, this.name);
  }
}
