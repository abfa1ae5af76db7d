import type {
  HistoryFrom,
  HistoryPage,
  Outgoing,
  RoomList,
  Sink,
  Snapshot,
  Watcher,
} from "../../core/ports.js";
import { CodedError } from "../../protocol/errors.js";
import type { Position } from "../../protocol/frames.js";
import type { RoomName } from "../../protocol/room-name.js";
import type { RoomPattern } from "../../protocol/room-pattern.js";
import { BrokerLayer } from "../broker-layer.js";

/** A broker whose answers wait while the gate is shut, but for those about patterns. What it is asked, it does at once. */
export class GatedBroker extends BrokerLayer {
  /** Requests that wait now, and the most that ever did. */
  waiting = 0;
  waitingMax = 0;
  /** So many requests of each kind fail from now on. */
  readonly failing = { open: 0, history: 0 };
  /** While true, patterns wait before they are watched. */
  holdsWatches = false;
  /** Where each room's flow went last. */
  readonly sinks = new Map<RoomName, Sink>();
  #watches: (() => void)[] = [];
  #isShut = false;
  #held: (() => void)[] = [];

  shut(): void {
    this.#isShut = true;
  }

  override publish(outgoing: Outgoing): Promise<Position> {
    return this.#gated(this.inner.publish(outgoing));
  }

  override async open(room: RoomName, sink: Sink): Promise<Position> {
    this.#fail("open");
    this.sinks.set(room, sink);
    return this.#gated(this.inner.open(room, sink));
  }

  override async watch(pattern: RoomPattern, watcher: Watcher): Promise<void> {
    if (this.holdsWatches) await new Promise<void>((resolve) => this.#watches.push(resolve));
    return this.inner.watch(pattern, watcher);
  }

  override rooms(prefix: string, after: string, limit: number): Promise<RoomList> {
    return this.#gated(this.inner.rooms(prefix, after, limit));
  }

  override async history(room: RoomName, from: HistoryFrom, limit: number): Promise<HistoryPage> {
    this.#fail("history");
    return this.#gated(this.inner.history(room, from, limit));
  }

  override state(room: RoomName): Promise<Snapshot> {
    return this.#gated(this.inner.state(room));
  }

  /** Lets all answers that wait go, and those after them. */
  release(): void {
    this.#isShut = false;
    const held = this.#held;
    this.#held = [];
    for (const go of held) go();
  }

  releaseWatches(): void {
    this.holdsWatches = false;
    for (const go of this.#watches.splice(0)) go();
  }

  #fail(kind: "open" | "history"): void {
    if (this.failing[kind] === 0) return;
    this.failing[kind] -= 1;
    throw new CodedError("unavailable", "fails, on purpose", 10);
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
