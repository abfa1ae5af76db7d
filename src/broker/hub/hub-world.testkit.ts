import assert from "node:assert/strict";
import { CodedError } from "../../protocol/errors.js";
import type { Position } from "../../protocol/frames.js";
import { parseRoom, type RoomName } from "../../protocol/room-name.js";
import { parsePattern, type RoomPattern } from "../../protocol/room-pattern.js";
import { HubKit, until } from "./hub.testkit.js";
import type { HubLink } from "./hub-link.js";
import {
  Follower,
  modelSettings,
  numberIn,
  payload,
  type Trouble,
  Truth,
  TruthBroker,
} from "./hub-model.testkit.js";
import { SocketProxy } from "./socket-proxy.testkit.js";
import { WatchLog } from "./watch-log.testkit.js";

const WORKERS = 3;
const ROOMS = ["long.a", "long.b", "long.c", "short.a", "short.b", "bare.a", "eph.a"].map(parseRoom);
const PATTERNS = [">", "long.*", "*.a", "short.>", "eph.a"].map(parsePattern);

const LIMITS = {
  bufferBytes: 65_536,
  lowWatermarkBytes: 16_384,
  publishes: 20,
  publishBytes: 200_000,
  reads: 2,
  waitingReads: 4,
  replays: 2,
  requestMs: 150,
};

interface Worker {
  readonly link: HubLink;
  readonly proxy: SocketProxy;
  readonly followers: Map<RoomName, Follower>;
  readonly log: WatchLog;
}

/**
 * Links, sockets, a broker and hubs that lag, stall, break, fail and start anew, in an order that a seed decides. Timing is
 * real, so a seed is a direction, not a recording.
 */
export class World {
  readonly #random: () => number;
  readonly #trouble: Trouble;
  readonly #truth = new Truth();
  readonly #kit: HubKit;
  readonly #workers: Worker[] = [];
  readonly #all: Follower[] = [];
  /** Requests under way. */
  readonly #pending = new Set<Promise<void>>();
  readonly #deadlineMs: number;
  #broker: TruthBroker | undefined;
  #number = 0;
  /** Hubs that there were. */
  #hubs = 0;

  /** @param deadlineMs how long to wait, when all trouble has ended, for what must come */
  constructor(seed: number, deadlineMs: number) {
    this.#deadlineMs = deadlineMs;
    this.#random = mulberry(seed);
    this.#trouble = { calm: false, random: mulberry(-seed) };
    this.#kit = new HubKit({
      limits: LIMITS,
      broker: { settingsOf: modelSettings },
      wrap: (broker) => {
        if (this.#broker !== undefined) this.#broker.isRetired = true;
        this.#broker = new TruthBroker(broker, this.#truth, this.#trouble);
        return this.#broker;
      },
    });
  }

  /** Runs so many steps of trouble, ends it, and checks everything. Adds up in `seen` what has happened. */
  async run(steps: number, seen: Record<string, number> = {}): Promise<void> {
    try {
      await this.#start();
      for (let step = 0; step < steps; step += 1) await this.#step();
      if ((seen.timeouts ?? 0) === 0 || (seen.refused ?? 0) === 0) await this.#standStill();
      await this.#settle();
      this.#check();
      await this.#leave();
      this.#addTo(seen);
    } finally {
      await this.#dispose();
    }
  }

  async #start(): Promise<void> {
    await this.#startHub();
    for (let index = 0; index < WORKERS; index += 1) {
      const proxy = new SocketProxy(this.#kit.path);
      const socketPath = this.#kit.folder.at(`proxy-${index}`);
      await proxy.listen(socketPath);
      const link = this.#kit.connect({ socketPath });
      this.#workers.push({ link, proxy, followers: new Map(), log: new WatchLog(this.#truth) });
    }
  }

  async #step(): Promise<void> {
    const worker = this.#pick(this.#workers);
    const room = this.#pick(ROOMS);
    if (this.#random() < 0.06) this.#watchOrNot(worker, this.#pick(PATTERNS));
    const dice = this.#random();
    if (dice < 0.3) this.#open(worker, room);
    else if (dice < 0.36) this.#close(worker, room);
    else if (dice < 0.6) this.#publish(worker, room);
    else if (dice < 0.72) this.#flood(room);
    else if (dice < 0.8) this.#read(worker, room);
    else if (dice < 0.86) worker.proxy.holdFlow(this.#random() < 0.5);
    else if (dice < 0.89) worker.proxy.holdRequests(this.#random() < 0.5);
    else if (dice < 0.91) worker.proxy.cut();
    else if (dice < 0.93) await this.#replaceHub();
    else await new Promise((resolve) => setTimeout(resolve, 20 * this.#random()));
    if (this.#random() < 0.5) await new Promise((resolve) => setImmediate(resolve));
  }

  /** The hub takes no requests until more wait than may, and one is given up. */
  async #standStill(): Promise<void> {
    const worker = this.#pick(this.#workers);
    const { counters } = worker.link;
    for (let turn = 0; turn < 20 && counters.timeouts === 0; turn += 1) {
      worker.proxy.holdFlow(false);
      worker.proxy.holdRequests(false);
      await worker.link.ready(this.#deadlineMs);
      worker.proxy.holdRequests(true);
      for (let count = 0; count <= LIMITS.publishes; count += 1) this.#publish(worker, this.#pick(ROOMS));
      await this.#until(() => this.#pending.size === 0, "an end of every request");
    }
  }

  /** Ends all trouble, and waits until everybody has everything. */
  async #settle(): Promise<void> {
    this.#trouble.calm = true;
    for (const { proxy } of this.#workers) {
      proxy.holdFlow(false);
      proxy.holdRequests(false);
    }
    await Promise.all(this.#workers.map(({ link }) => link.ready(this.#deadlineMs)));
    await this.#until(() => this.#pending.size === 0, "an answer to every request");
    // The last message of each room in this hub's numbering.
    for (const room of ROOMS) await this.#publishDirectly(room);
    await this.#watchersAre((log, room) => log.hasAllOrLost(room), "everything, or told");
    // Whoever was told only now, that these were lost, gets the next ones.
    for (const room of ROOMS) await this.#publishDirectly(room);
    await this.#watchersAre((log, room) => log.hasAll(room), "everything");
    await this.#followersAreThere();
  }

  async #followersAreThere(): Promise<void> {
    for (const { followers } of this.#workers)
      for (const [room, follower] of followers) {
        if (room.startsWith("eph.")) continue;
        const head = this.#truth.headOf(room);
        const isThere = (): boolean =>
          follower.position?.epoch === head?.epoch && follower.position?.offset === head?.offset;
        await this.#until(isThere, `${room} up to ${head?.offset}, now at ${follower.position?.offset}`);
      }
  }

  /** Waits until it is so for all rooms that patterns bring to a worker. */
  async #watchersAre(isSo: (log: WatchLog, room: RoomName) => boolean, what: string): Promise<void> {
    for (const { followers, log } of this.#workers)
      for (const room of ROOMS)
        if (!followers.has(room) && log.isMeant(room))
          await this.#until(() => isSo(log, room), `${room} by patterns: ${what}`);
  }

  #check(): void {
    for (const follower of this.#all) {
      follower.compare();
      assert.ok(follower.resets.epoch <= this.#hubs - 1);
    }
    assert.deepEqual(this.#kit.errors, []);
    for (const { log } of this.#workers) assert.deepEqual(log.faults(ROOMS).slice(0, 5), []);
    for (const { link } of this.#workers) {
      const { malformed, sinkErrors, chainBroken } = link.counters;
      assert.deepEqual([malformed, sinkErrors, chainBroken], [0, 0, 0]);
    }
  }

  #addTo(sums: Record<string, number>): void {
    const add = (name: string, times: number): void => {
      sums[name] = (sums[name] ?? 0) + times;
    };
    add("new brokers", this.#hubs - 1);
    for (const { link } of this.#workers) for (const name of COUNTED) add(name, link.counters[name]);
    const { replays, replayedMessages } = this.#kit.counters;
    add("replays", replays);
    add("replayedMessages", replayedMessages);
    for (const { resets } of this.#all)
      for (const reason of ["epoch", "expired"] as const) add(`reset ${reason}`, resets[reason]);
  }

  /** When all rooms are closed and no pattern is watched, nothing is left at the hub. */
  async #leave(): Promise<void> {
    for (const worker of this.#workers) {
      for (const room of ROOMS) this.#close(worker, room);
      for (const pattern of worker.log.patterns) this.#unwatch(worker, pattern);
    }
    await this.#until(() => this.#kit.broker.counters.watchedPatterns === 0, "the last pattern's end");
    await this.#until(() => this.#kit.hub.counters.rooms === 0, "the last room's end");
  }

  async #dispose(): Promise<void> {
    await this.#kit.dispose();
    for (const { proxy } of this.#workers) await proxy.dispose();
  }

  #open({ link, followers, log }: Worker, room: RoomName): void {
    if (followers.has(room)) return;
    const follower = new Follower(room, this.#truth, log);
    followers.set(room, follower);
    log.opening(room);
    this.#all.push(follower);
    this.#expect(
      link.open(room, follower).then(
        (position) => {
          follower.opened(position);
          if (followers.get(room) === follower) log.opened(room, position);
        },
        (cause: unknown) => {
          if (followers.get(room) === follower) {
            followers.delete(room);
            log.closed(room);
          }
          throw cause;
        },
      ),
    );
  }

  #close({ link, followers, log }: Worker, room: RoomName): void {
    const follower = followers.get(room);
    // What it was handed by then is its own.
    if (follower !== undefined) log.closed(room);
    link.close(room);
    follower?.closed();
    followers.delete(room);
  }

  #watchOrNot(worker: Worker, pattern: RoomPattern): void {
    const { link, log } = worker;
    if (log.patterns.includes(pattern)) {
      this.#unwatch(worker, pattern);
      return;
    }
    const settled = log.asked(pattern);
    this.#expect(
      link.watch(pattern, log).then(
        () => settled(true),
        (cause: unknown) => {
          settled(false);
          throw cause;
        },
      ),
    );
  }

  #unwatch({ link, log }: Worker, pattern: RoomPattern): void {
    link.unwatch(pattern);
    log.over(pattern);
  }

  #publish({ link }: Worker, room: RoomName): void {
    for (let count = 1 + Math.floor(5 * this.#random()); count > 0; count -= 1) {
      const number = this.#number++;
      const data = payload(number, Math.floor(4_000 * this.#random()));
      const key = this.#random() < 0.5 ? `k${number % 3}` : undefined;
      this.#expect(
        link.publish({ room, data, key }).then((position) => this.#isStored(room, position, number)),
      );
    }
  }

  /** So much at once that whoever does not read is cut off. */
  #flood(room: RoomName): void {
    const count = this.#random() < 0.3 ? 300 : 20;
    for (let index = 0; index < count; index += 1) this.#expect(this.#publishDirectly(room));
  }

  async #publishDirectly(room: RoomName): Promise<void> {
    const number = this.#number++;
    const data = payload(number, Math.floor(4_000 * this.#random()));
    const position = await this.#kit.broker.publish({ room, data });
    this.#truth.stored(room, position, data);
  }

  #read({ link }: Worker, room: RoomName): void {
    if (this.#random() < 0.2) {
      this.#expect(
        link.state(room).then(({ messages, head }) => {
          for (const message of messages)
            this.#isStored(room, { ...head, offset: message.offset }, numberIn(message));
        }),
      );
      return;
    }
    const after = this.#truth.headOf(room) ?? { epoch: "", offset: 0 };
    const from = { after: { ...after, offset: Math.floor(after.offset * this.#random()) } };
    this.#expect(
      link.history(room, from, 100).then((page) => {
        if (page.kind === "lost") return;
        let { offset } = from.after;
        for (const message of page.messages) {
          assert.equal(message.prev, offset);
          offset = message.offset;
          this.#isStored(room, { epoch: page.head.epoch, offset }, numberIn(message));
        }
        assert.ok(page.more || offset === page.head.offset);
      }),
    );
  }

  /** An answer must be true: at once, as the worker was told so. */
  #isStored(room: RoomName, { epoch, offset }: Position, number: number): void {
    if (epoch !== "")
      assert.equal(this.#truth.numberAt(room, epoch, offset), number, `${room} ${epoch}:${offset}`);
  }

  /** A request may be refused while something is broken, and only as such. */
  #expect(request: Promise<void>): void {
    const settled = request
      .catch((cause: unknown) => {
        if (cause instanceof CodedError && (cause.code === "unavailable" || cause.code === "timeout")) return;
        this.#kit.errors.push(cause);
      })
      .finally(() => this.#pending.delete(settled));
    this.#pending.add(settled);
  }

  #until(isSo: () => boolean, what: string): Promise<void> {
    return until(isSo, what, this.#deadlineMs);
  }

  async #startHub(): Promise<void> {
    this.#hubs += 1;
    await this.#kit.start();
  }

  /** With the memory of the broker, or without: then everything is numbered anew. */
  async #replaceHub(): Promise<void> {
    if (this.#random() < 0.5) {
      await this.#kit.stopHub();
      await this.#kit.start();
      return;
    }
    await this.#kit.stop();
    await this.#startHub();
  }

  #pick<T>(items: readonly T[]): T {
    const item = items[Math.floor(items.length * this.#random())];
    if (item === undefined) throw new Error("nothing to pick from");
    return item;
  }
}

function mulberry(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** What a link may be counting in any run. */
const COUNTED = [
  "lost",
  "ignored",
  "lagged",
  "reopened",
  "resets",
  "received",
  "published",
  "publishErrors",
  "refused",
  "timeouts",
  "watchedMessages",
  "lostPatterns",
] as const;
