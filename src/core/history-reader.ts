import type { Position } from "../protocol/frames.js";
import type { RoomName } from "../protocol/room-name.js";
import type { Counters } from "./counters.js";
import { latestOfEach } from "./newest.js";
import type { Broker, HistoryPage, Snapshot } from "./ports.js";
import { RecentPages } from "./recent-pages.js";

/** Pages that one read of changes takes; who is further behind reads again from where that ended. */
const CHANGE_PAGES_MAX = 32;

/** Reads at the broker, once for all who ask for the same thing until the next tick: a storm of resumes causes one read. */
export class HistoryReader {
  readonly #broker: Broker;
  readonly #counters: Counters;
  readonly #pageMessages: number;
  readonly #pages = new Map<string, Promise<HistoryPage>>();
  readonly #snapshots = new Map<RoomName, Promise<Snapshot>>();
  readonly #recent = new RecentPages();
  readonly #answered: (() => unknown)[] = [];

  constructor(broker: Broker, counters: Counters, pageMessages: number) {
    this.#broker = broker;
    this.#counters = counters;
    this.#pageMessages = pageMessages;
  }

  /** The page after a position, as it is now or was a moment ago while the room is open. Rejects with a CodedError while the broker cannot answer. */
  after(room: RoomName, after: Position): Promise<HistoryPage> {
    const known = this.#recent.find(room, after);
    if (known !== undefined) {
      this.#counters.historyShared += 1;
      return Promise.resolve(known);
    }
    return this.#once(this.#pages, `${room} a ${after.epoch} ${after.offset}`, async () => {
      const page = await this.#broker.history(room, { after }, this.#pageMessages);
      this.#recent.keep(room, after, page);
      return page;
    });
  }

  /**
   * The same for a conflated class: as many pages as there are, up to a bound, and of all of them only the latest message
   * of every key. The last of these is the last that was read.
   */
  changes(room: RoomName, after: Position): Promise<HistoryPage> {
    return this.#once(this.#pages, `${room} c ${after.epoch} ${after.offset}`, () =>
      this.#readChanges(room, after),
    );
  }

  last(room: RoomName, last: number): Promise<HistoryPage> {
    const read = () => this.#broker.history(room, { last }, last);
    return this.#once(this.#pages, `${room} l ${last}`, read);
  }

  state(room: RoomName): Promise<Snapshot> {
    return this.#once(this.#snapshots, room, () => this.#broker.state(room));
  }

  /** Called at every tick: what was read before is not shared any more, but for pages of the last moment. */
  forgetAnswered(nowMs: number): void {
    this.#recent.expire(nowMs);
    for (const forget of this.#answered) forget();
    this.#answered.length = 0;
  }

  async #readChanges(room: RoomName, after: Position): Promise<HistoryPage> {
    let page = await this.#broker.history(room, { after }, this.#pageMessages);
    let messages = page.kind === "page" ? latestOfEach(page.messages) : [];
    for (let pages = 1; page.kind === "page" && page.more && pages < CHANGE_PAGES_MAX; pages += 1) {
      const last = page.messages[page.messages.length - 1];
      if (last === undefined) break;
      this.#counters.historyReads += 1;
      const from = { epoch: page.head.epoch, offset: last.offset };
      page = await this.#broker.history(room, { after: from }, this.#pageMessages);
      if (page.kind === "page") messages = latestOfEach([...messages, ...page.messages]);
    }
    return page.kind === "page" ? { ...page, messages } : page;
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
