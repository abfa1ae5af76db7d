import type { Broker, HistoryFrom, HistoryPage, Outgoing, Sink, Snapshot } from "../../core/ports.js";
import type { Position } from "../../protocol/frames.js";
import type { RoomName } from "../../protocol/room-name.js";

/** A broker whose answers wait while the gate is shut. What it is asked, it does at once. */
export class GatedBroker implements Broker {
  /** Requests that wait now, and the most that ever did. */
  waiting = 0;
  waitingMax = 0;
  readonly #inner: Broker;
  #isShut = false;
  #held: (() => void)[] = [];

  constructor(inner: Broker) {
    this.#inner = inner;
  }

  shut(): void {
    this.#isShut = true;
  }

  publish(outgoing: Outgoing): Promise<Position> {
    return this.#gated(this.#inner.publish(outgoing));
  }

  open(room: RoomName, sink: Sink): Promise<Position> {
    return this.#gated(this.#inner.open(room, sink));
  }

  close(room: RoomName): void {
    this.#inner.close(room);
  }

  history(room: RoomName, from: HistoryFrom, limit: number): Promise<HistoryPage> {
    return this.#gated(this.#inner.history(room, from, limit));
  }

  state(room: RoomName): Promise<Snapshot> {
    return this.#gated(this.#inner.state(room));
  }

  stop(deadlineMs: number): Promise<void> {
    return this.#inner.stop(deadlineMs);
  }

  /** Lets all answers that wait go, and those after them. */
  release(): void {
    this.#isShut = false;
    const held = this.#held;
    this.#held = [];
    for (const go of held) go();
  }

  async #gated<T>(answer: Promise<T>): Promise<T> {
    if (this.#isShut) {
      this.waiting += 1;
      this.waitingMax = Math.max(this.waitingMax, this.waiting);
      await new Promise<void>((resolve) => this.#held.push(resolve));
      this.waiting -= 1;
    }
    return answer;
  }
}
