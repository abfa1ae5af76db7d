import { Histogram, type HistogramReport } from "../core/histogram.js";
import type {
  Broker,
  Gossip,
  HistoryFrom,
  HistoryPage,
  Outgoing,
  RoomList,
  Sink,
  Snapshot,
  Watcher,
} from "../core/ports.js";
import { Sampler } from "../core/sampler.js";
import type { Position } from "../protocol/frames.js";
import type { RoomName } from "../protocol/room-name.js";
import type { RoomPattern } from "../protocol/room-pattern.js";

/** Publishes measured a second, some 0.5 µs each. */
const SAMPLES_PER_SECOND = 500;

/** What is asked of a broker and awaited. */
export type BrokerOperation = "publish" | "open" | "history" | "state";

/**
 * A broker, and how long it takes to answer: by this process's clock, with all that lies between (the link, the hub,
 * NATS), refusals and failures too. Publishes are sampled, since there may be hundreds of thousands a second.
 */
export class TimedBroker implements Broker {
  readonly #broker: Broker;
  readonly #sampler = new Sampler(SAMPLES_PER_SECOND);
  readonly #histograms: Readonly<Record<BrokerOperation, Histogram>> = {
    publish: new Histogram(),
    open: new Histogram(),
    history: new Histogram(),
    state: new Histogram(),
  };

  constructor(broker: Broker) {
    this.#broker = broker;
  }

  get gossip(): Gossip | undefined {
    return this.#broker.gossip;
  }

  publish(outgoing: Outgoing): Promise<Position> {
    const weight = this.#sampler.take();
    if (weight === 0) return this.#broker.publish(outgoing);
    return this.#timed("publish", performance.now(), this.#broker.publish(outgoing), weight);
  }

  open(room: RoomName, sink: Sink): Promise<Position> {
    return this.#timed("open", performance.now(), this.#broker.open(room, sink));
  }

  close(room: RoomName): void {
    this.#broker.close(room);
  }

  watch(pattern: RoomPattern, watcher: Watcher): Promise<void> {
    return this.#broker.watch(pattern, watcher);
  }

  unwatch(pattern: RoomPattern): void {
    this.#broker.unwatch(pattern);
  }

  rooms(prefix: string, after: string, limit: number): Promise<RoomList> {
    return this.#broker.rooms(prefix, after, limit);
  }

  history(room: RoomName, from: HistoryFrom, limit: number): Promise<HistoryPage> {
    return this.#timed("history", performance.now(), this.#broker.history(room, from, limit));
  }

  state(room: RoomName): Promise<Snapshot> {
    return this.#timed("state", performance.now(), this.#broker.state(room));
  }

  stop(deadlineMs: number): Promise<void> {
    return this.#broker.stop(deadlineMs);
  }

  /** About once a second. */
  sweep(): void {
    this.#sampler.sweep();
  }

  /** Since the start. */
  times(): Readonly<Record<BrokerOperation, HistogramReport>> {
    const { publish, open, history, state } = this.#histograms;
    return {
      publish: publish.report(),
      open: open.report(),
      history: history.report(),
      state: state.report(),
    };
  }

  #timed<T>(operation: BrokerOperation, sinceMs: number, answer: Promise<T>, weight = 1): Promise<T> {
    const done = (): void => this.#histograms[operation].observe(performance.now() - sinceMs, weight);
    // Whoever asked attends to the answer itself.
    answer.then(done, done);
    return answer;
  }
}
