import type { Position } from "../protocol/frames.js";
import type { RoomName } from "../protocol/room-name.js";
import type { Counters } from "./counters.js";
import type { Broker, HistoryPage, Snapshot } from "./ports.js";

/** Reads at the broker, once for all who ask for the same thing until the next tick: a storm of resumes causes one read. */
export class HistoryReader {
  readonly #broker: Broker;
  readonly #counters: Counters;
  readonly #pageMessages: number;
  readonly #pages = new Map<string, Promise<HistoryPage>>();
  readonly #snapshots = new Map<RoomName, Promise<Snapshot>>();
  readonly #answered: (() => unknown)[] = [];

  constructor(broker: Broker, counters: Counters, pageMessages: number) {
    this.#broker = broker;
    this.#counters = counters;
    this.#pageMessages = pageMessages;
  }

  /** The page after a position. Rejects with a CodedError while the broker cannot answer. */
  after(room: RoomName, after: Position): Promise<HistoryPage> {
    const read = () => this.#broker.history(room, { after }, this.#pageMessages);
    return this.#once(this.#pages, `${room} a ${after.epoch} ${after.offset}`, read);
  }

  last(room: RoomName, last: number): Promise<HistoryPage> {
    const read = () => this.#broker.history(room, { last }, last);
    return this.#once(this.#pages, `${room} l ${last}`, read);
  }

  state(room: RoomName): Promise<Snapshot> {
    return this.#once(this.#snapshots, room, () => this.#broker.state(room));
  }

  /** Called at every tick: what was read before is not shared any more. */
  forgetAnswered(): void {
    for (const forget of this.#answered) forget();
    this.#answered.length = 0;
  }

  #once<K, V>(running: Map<K, Promise<V>>, key: K, read: () => Promise<V>): Promise<V> {
    const shared = running.get(key);
    if (shared !== undefined) return shared;
    this.#counters.historyReads += 1;
    const forget = (): unknown => running.delete(key);
    const promise = read();
    running.set(key, promise);
    promise.then(() => this.#answered.push(forget), forget);
    return promise;
  }
}
