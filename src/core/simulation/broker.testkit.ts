import { encode } from "@msgpack/msgpack";
import { CodedError } from "../../protocol/errors.js";
import type { Position } from "../../protocol/frames.js";
import { createMessage, isRemoval, type Message } from "../../protocol/message.js";
import type { RoomName } from "../../protocol/room-name.js";
import type { RoomPattern } from "../../protocol/room-pattern.js";
import { PatternIndex } from "../pattern-index.js";
import type {
  Broker,
  HistoryFrom,
  HistoryPage,
  Outgoing,
  RoomList,
  Sink,
  Snapshot,
  Watcher,
} from "../ports.js";
import type { SettingsOf } from "../settings.js";
import type { Scheduler } from "./scheduler.testkit.js";

interface RoomLog {
  epoch: string;
  /** Everything since the epoch began; history reads see only the newest `history.messages`. */
  messages: Message[];
}

type Item =
  | { readonly message: Message }
  | { readonly head: Position }
  /** From here on the room's flow goes to its sink. */
  | { readonly opened: () => void };

/** What was ever stored in a room, whatever its epoch. */
export interface Stored {
  readonly seq: number;
  readonly epoch: string;
  readonly offset: number;
  readonly atMs: number;
}

/** The one source of truth of a simulated deployment, with slow links to its workers, and crashes. */
export class SimulatedBroker {
  readonly scheduler: Scheduler;
  readonly settingsOf: SettingsOf;
  /** Every message ever stored, by `room epoch`. */
  readonly truth = new Map<string, Message[]>();
  readonly links: Link[] = [];
  /** The same by room, in the order in which it was stored, and by its data, which nothing else has. */
  readonly byRoom = new Map<RoomName, Stored[]>();
  readonly byData = new Map<unknown, Stored>();
  readonly #rooms = new Map<RoomName, RoomLog>();
  #epochs = 0;
  #values = 0;
  restarts = 0;
  away = false;

  constructor(scheduler: Scheduler, settingsOf: SettingsOf) {
    this.scheduler = scheduler;
    this.settingsOf = settingsOf;
  }

  room(name: RoomName): RoomLog {
    let log = this.#rooms.get(name);
    if (log === undefined) {
      log = { epoch: `e${this.#epochs++}`, messages: [] };
      this.#rooms.set(name, log);
    }
    return log;
  }

  head(name: RoomName): Position {
    const log = this.room(name);
    return { epoch: log.epoch, offset: log.messages.at(-1)?.offset ?? 0 };
  }

  store({ room, key, origin }: Pick<Outgoing, "room" | "key" | "origin">, bytes = 0): Position {
    const log = this.room(room);
    const prev = log.messages.at(-1)?.offset ?? 0;
    // Offsets have holes, as a broker's may that numbers many rooms in one stream.
    const offset = prev + 1 + (this.scheduler.random.chance(0.3) ? this.scheduler.random.below(3) : 0);
    const removal = key !== undefined && this.scheduler.random.chance(0.15);
    const value = removal ? null : `value ${this.#values++}${"x".repeat(bytes)}`;
    const data = encode(value);
    const message = createMessage({
      room,
      offset,
      prev,
      time: Math.floor(this.scheduler.nowMs),
      data,
      key,
      origin,
    });
    log.messages.push(message);
    const id = `${room} ${log.epoch}`;
    const truth = this.truth.get(id) ?? [];
    truth.push(message);
    this.truth.set(id, truth);
    const stored = this.byRoom.get(room) ?? [];
    const entry = { seq: stored.length, epoch: log.epoch, offset, atMs: this.scheduler.nowMs };
    stored.push(entry);
    this.byRoom.set(room, stored);
    this.byData.set(value, entry);
    for (const link of this.links) link.push(room, { message });
    return { epoch: log.epoch, offset };
  }

  /** What a memory broker's death does: every room begins anew, and who had it open is told. */
  restart(): void {
    this.restarts += 1;
    for (const name of this.#rooms.keys()) {
      this.#rooms.set(name, { epoch: `e${this.#epochs++}`, messages: [] });
      for (const link of this.links) link.push(name, { head: this.head(name) });
    }
  }

  history(name: RoomName, from: HistoryFrom, limit: number): HistoryPage {
    const log = this.room(name);
    const head = this.head(name);
    const kept = log.messages.slice(-this.settingsOf(name).history.messages);
    if (from === "oldest") return page(kept, limit, head);
    if ("last" in from) return page(kept.slice(-from.last), limit, head);
    if (from.after.epoch !== log.epoch || from.after.offset > head.offset)
      return { kind: "lost", reason: "epoch", head };
    const oldest = kept[0];
    if (oldest !== undefined && oldest.prev > from.after.offset)
      return { kind: "lost", reason: "expired", head };
    return page(
      kept.filter(({ offset }) => offset > from.after.offset),
      limit,
      head,
    );
  }

  state(name: RoomName): Snapshot {
    const latest = new Map<string, Message>();
    for (const message of this.room(name).messages) {
      if (isRemoval(message)) latest.delete(message.key ?? "");
      else if (message.key !== undefined) latest.set(message.key, message);
    }
    const messages = [...latest.values()].sort((a, b) => a.offset - b.offset);
    return { head: this.head(name), messages, droppedKeys: 0 };
  }

  link(): Link {
    const link = new Link(this);
    this.links.push(link);
    return link;
  }
}

/** One worker's way to the broker: ordered a room, late, and now and then torn and mended. */
export class Link implements Broker {
  readonly #broker: SimulatedBroker;
  readonly #sinks = new Map<RoomName, Sink>();
  readonly #queues = new Map<RoomName, Item[]>();
  readonly #watched = new PatternIndex<true>();
  #watcher: Watcher | undefined;
  /** When the worker was handed each message, by room and offset. */
  readonly handedMs = new Map<string, number>();

  constructor(broker: SimulatedBroker) {
    this.#broker = broker;
  }

  /** How often the broker has begun anew. */
  get restarts(): number {
    return this.#broker.restarts;
  }

  async publish(outgoing: Outgoing): Promise<Position> {
    const copy = { room: outgoing.room, key: outgoing.key, origin: outgoing.origin };
    await this.#trip();
    const position = this.#broker.store(copy);
    await this.#broker.scheduler.delay(20);
    return position;
  }

  async open(room: RoomName, sink: Sink): Promise<Position> {
    await this.#trip();
    const head = this.#broker.head(room);
    const queue = this.#queues.get(room);
    if (queue === undefined || queue.length === 0) {
      this.#sinks.set(room, sink);
      this.#queues.set(room, []);
      return head;
    }
    // What is under way is the watcher's.
    await new Promise<void>((resolve) => {
      const opened = (): void => {
        this.#sinks.set(room, sink);
        resolve();
      };
      this.push(room, { opened });
    });
    return head;
  }

  close(room: RoomName): void {
    this.#sinks.delete(room);
    if (!this.#watched.matches(room)) this.#queues.delete(room);
  }

  async watch(pattern: RoomPattern, watcher: Watcher): Promise<void> {
    await this.#trip();
    this.#watcher = watcher;
    this.#watched.set(pattern, true);
  }

  unwatch(pattern: RoomPattern): void {
    this.#watched.delete(pattern);
    for (const room of this.#queues.keys()) if (this.#isUnwanted(room)) this.#queues.delete(room);
  }

  /** Nobody asks for it here. */
  async rooms(): Promise<RoomList> {
    return { rooms: [], more: false };
  }

  /** Nothing of it is under way that anybody wants. */
  #isUnwanted(room: RoomName): boolean {
    if (this.#sinks.has(room) || this.#watched.matches(room)) return false;
    return this.#queues.get(room)?.some((item) => "opened" in item) !== true;
  }

  async history(room: RoomName, from: HistoryFrom, limit: number): Promise<HistoryPage> {
    await this.#trip();
    const found = this.#broker.history(room, from, limit);
    await this.#broker.scheduler.delay(30);
    return found;
  }

  async state(room: RoomName): Promise<Snapshot> {
    await this.#trip();
    const found = this.#broker.state(room);
    await this.#broker.scheduler.delay(30);
    return found;
  }

  async stop(): Promise<void> {}

  push(room: RoomName, item: Item): void {
    if (!this.#queues.has(room) && this.#watched.matches(room)) this.#queues.set(room, []);
    const queue = this.#queues.get(room);
    if (queue === undefined) return;
    queue.push(item);
    this.#broker.scheduler.soon(30, () => this.#deliver(room, queue));
  }

  /** Loses what is under way, as a torn connection does, and mends from history as an adapter must, or tells. */
  tear(): void {
    for (const [room, queue] of this.#queues) {
      const first = queue[0];
      if (first === undefined || !("message" in first) || queue.some((item) => !("message" in item)))
        continue;
      queue.length = 0;
      if (!this.#sinks.has(room)) {
        this.#watcher?.lost(this.#broker.scheduler.random.chance(0.5) ? { room } : "all");
        continue;
      }
      const after = { epoch: this.#broker.room(room).epoch, offset: first.message.prev };
      const found = this.#broker.history(room, { after }, 1_000);
      const items =
        found.kind === "page" ? found.messages.map((message) => ({ message })) : [{ head: found.head }];
      for (const item of items) this.push(room, item);
    }
  }

  #deliver(room: RoomName, queue: Item[]): void {
    // Now and then all that waits comes at once.
    let count = this.#broker.scheduler.random.chance(0.2) ? queue.length : 1;
    for (; count > 0; count -= 1) {
      const item = this.#queues.get(room) === queue ? queue.shift() : undefined;
      if (item === undefined) return;
      if ("opened" in item) {
        item.opened();
        continue;
      }
      const sink = this.#sinks.get(room);
      if (sink === undefined) {
        this.#watch(room, item);
        continue;
      }
      if ("message" in item) {
        this.handedMs.set(`${room} ${item.message.offset}`, this.#broker.scheduler.nowMs);
        sink.message(item.message);
      } else sink.reset(room, item.head, item.head.offset === 0 ? "epoch" : "expired");
    }
  }

  #watch(room: RoomName, item: Exclude<Item, { opened: () => void }>): void {
    if (!this.#watched.matches(room)) return;
    if ("message" in item) this.#watcher?.message(item.message);
    else this.#watcher?.lost({ room });
  }

  async #trip(): Promise<void> {
    await this.#broker.scheduler.delay(30);
    if (this.#broker.away) throw new CodedError("unavailable", "the broker is away", 100);
  }
}

function page(kept: readonly Message[], limit: number, head: Position): HistoryPage {
  return { kind: "page", messages: kept.slice(0, limit), more: kept.length > limit, head };
}
