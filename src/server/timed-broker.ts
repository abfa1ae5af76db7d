import { BrokerLayer } from "../broker/broker-layer.js";
import { Histogram, type HistogramReport } from "../core/histogram.js";
import type { HistoryFrom, HistoryPage, Outgoing, Sink, Snapshot } from "../core/ports.js";
import { Sampler } from "../core/sampler.js";
import type { Position } from "../protocol/frames.js";
import type { RoomName } from "../protocol/room-name.js";

/** Publishes measured a second, some 0.5 µs each. */
const SAMPLES_PER_SECOND = 500;

/** What is asked of a broker and awaited. */
export type BrokerOperation = "publish" | "open" | "history" | "state";

/**
 * A broker, and how long it takes to answer: by this process's clock, with all that lies between (the link, the hub,
 * NATS), refusals and failures too. Publishes are sampled, since there may be hundreds of thousands a second.
 */
export class TimedBroker extends BrokerLayer {
  readonly #sampler = new Sampler(SAMPLES_PER_SECOND);
  readonly #histograms: Readonly<Record<BrokerOperation, Histogram>> = {
    publish: new Histogram(),
    open: new Histogram(),
    history: new Histogram(),
    state: new Histogram(),
  };

  override publish(outgoing: Outgoing): Promise<Position> {
    const weight = this.#sampler.take();
    if (weight === 0) return this.inner.publish(outgoing);
    return this.#timed("publish", performance.now(), this.inner.publish(outgoing), weight);
  }

  override open(room: RoomName, sink: Sink): Promise<Position> {
    return this.#timed("open", performance.now(), this.inner.open(room, sink));
  }

  override history(room: RoomName, from: HistoryFrom, limit: number): Promise<HistoryPage> {
    return this.#timed("history", performance.now(), this.inner.history(room, from, limit));
  }

  override state(room: RoomName): Promise<Snapshot> {
    return this.#timed("state", performance.now(), this.inner.state(room));
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
