import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, encode } from "@msgpack/msgpack";
import fc from "fast-check";
import type { HistoryFrom, Watcher } from "../core/ports.js";
import type { SettingsOf } from "../core/settings.js";
import type { Position } from "../protocol/frames.js";
import { createMessage, dataOf, type Message } from "../protocol/message.js";
import { namespaceOf, parseRoom, type RoomName } from "../protocol/room-name.js";
import { matchesRoom, parsePattern, type RoomPattern } from "../protocol/room-pattern.js";
import { conformanceSettings } from "./conformance.testkit.js";
import { at } from "./conformance-rig.testkit.js";
import { type BrokerCounters, createBrokerCounters } from "./counters.js";
import { MemoryBroker } from "./memory.js";
import {
  HISTORY_SHARE,
  ID_WINDOW_MS,
  LOG_MESSAGE_OVERHEAD_BYTES,
  LOG_OVERHEAD_BYTES,
  STATE_OVERHEAD_BYTES,
} from "./memory-limits.js";

const LIMITS = { bytes: 12_000, rooms: 5, keysPerRoom: 3, ids: 4, patterns: 2 };
const HISTORY_BYTES = LIMITS.bytes * HISTORY_SHARE;
const NAMES = ["log.a", "log.b", "log.c", "keyed.a", "keyed.b", "bare.a", "eph.a", "eph.b"].map(parseRoom);
const PATTERNS = ["log.*", ">", "eph.a", "*.b", "keyed.>"].map(parsePattern);
const KEY_SECONDS = 400;
const modelSettings: SettingsOf = (room) => {
  const settings = conformanceSettings(room);
  return settings.state ? { ...settings, stateSeconds: KEY_SECONDS } : settings;
};
const EPHEMERAL: Position = { epoch: "", offset: 0 };

interface Kept {
  readonly room: ModelRoom;
  readonly offset: number;
  readonly time: number;
  readonly key: string | undefined;
  /** Null takes its key out. */
  readonly value: number | null;
  readonly bytes: number;
}

interface ModelRoom {
  readonly name: RoomName;
  readonly epoch: string;
  head: number;
  droppedKeys: number;
}

/** The broker as one would explain it: plain arrays, oldest first, searched from end to end. */
class Model {
  nowMs = 1_000_000;
  rooms: ModelRoom[] = []; // the least recently used first
  history: Kept[] = [];
  state: Kept[] = [];
  ids: { room: RoomName; id: string; position: Position; time: number }[] = [];
  readonly open = new Map<RoomName, (number | null)[]>();
  readonly watched = new Set<RoomPattern>();
  /** What the watcher was handed. */
  readonly seen: [RoomName, number | null][] = [];
  #forgotten = 0;

  get epoch(): string {
    return this.#forgotten === 0 ? "run" : `run.${this.#forgotten.toString(36)}`;
  }

  /** Known rooms and their place among the recently used. */
  use(name: RoomName): ModelRoom | undefined {
    const room = this.rooms.find((other) => other.name === name);
    if (room !== undefined) this.rooms = [...this.rooms.filter((other) => other !== room), room];
    return room;
  }

  /** False where every room is open. */
  makeRoom(): boolean {
    const ephemerals = [...this.open.keys()].filter((name) => namespaceOf(name) === "eph").length;
    if (this.rooms.length + ephemerals < LIMITS.rooms) return true;
    const oldest = this.rooms.find(({ name }) => !this.open.has(name));
    if (oldest === undefined) return false;
    this.rooms = this.rooms.filter((room) => room !== oldest);
    this.history = this.history.filter(({ room }) => room !== oldest);
    this.state = this.state.filter(({ room }) => room !== oldest);
    this.#forgotten += 1;
    return true;
  }

  create(name: RoomName): ModelRoom | undefined {
    if (!this.makeRoom()) return undefined;
    const room = { name, epoch: this.epoch, head: 0, droppedKeys: 0 };
    this.rooms.push(room);
    return room;
  }

  /** The position, or undefined where it is refused. */
  publish(
    name: RoomName,
    value: number | null,
    data: Uint8Array,
    key?: string,
    id?: string,
  ): Position | undefined {
    if (namespaceOf(name) === "eph") {
      this.#deliver(name, value);
      return EPHEMERAL;
    }
    this.ids = this.ids.filter(({ time }) => this.nowMs - time < ID_WINDOW_MS);
    const known = this.ids.find((entry) => entry.room === name && entry.id === id);
    if (known !== undefined) return known.position;
    const room = this.use(name) ?? this.create(name);
    if (room === undefined) return undefined;
    this.expireKeys(room);
    room.head += 1;
    const numbers = { offset: room.head, prev: room.head - 1, time: this.nowMs };
    const bytes = createMessage({ room: name, data, key, ...numbers }).frame.byteLength;
    this.#keep({ room, key, value, bytes, offset: room.head, time: this.nowMs });
    const position = { epoch: room.epoch, offset: room.head };
    if (id !== undefined)
      this.ids = [...this.ids, { room: name, id, position, time: this.nowMs }].slice(-LIMITS.ids);
    this.#deliver(name, value);
    return position;
  }

  #deliver(name: RoomName, value: number | null): void {
    const open = this.open.get(name);
    if (open !== undefined) open.push(value);
    else if ([...this.watched].some((pattern) => matchesRoom(pattern, name))) this.seen.push([name, value]);
  }

  #keep(kept: Kept): void {
    const { history, state } = modelSettings(kept.room.name);
    if (history.messages > 0) this.history.push(kept);
    const own = this.history.filter(({ room }) => room === kept.room);
    const surplus = own.slice(0, Math.max(0, own.length - history.messages));
    this.history = this.history.filter((other) => !surplus.includes(other));
    while (historyBytes(this.history) > HISTORY_BYTES) this.history.shift();
    if (!state || kept.key === undefined) return;
    this.state = this.state.filter(({ room, key }) => room !== kept.room || key !== kept.key);
    if (kept.value === null) return;
    const keys = this.state.filter(({ room }) => room === kept.room);
    if (keys.length === LIMITS.keysPerRoom) this.#dropKey(keys[0]);
    this.state.push(kept);
    while (stateBytes(this.state) > LIMITS.bytes - HISTORY_BYTES) this.#dropKey(this.state[0]);
  }

  #dropKey(kept: Kept | undefined): void {
    if (kept === undefined) return;
    this.state = this.state.filter((other) => other !== kept);
    kept.room.droppedKeys += 1;
  }

  expire(): void {
    this.history = this.history.filter(
      ({ room, time }) => this.nowMs - time < modelSettings(room.name).history.seconds * 1_000,
    );
  }

  /** A room's own, when something is asked of it; until then they count. */
  expireKeys(room: ModelRoom | undefined): void {
    this.state = this.state.filter(
      (kept) => kept.room !== room || this.nowMs - kept.time <= KEY_SECONDS * 1_000,
    );
  }

  headOf(name: RoomName): Position {
    if (namespaceOf(name) === "eph") return EPHEMERAL;
    const room = this.rooms.find((other) => other.name === name);
    return { epoch: room?.epoch ?? this.epoch, offset: room?.head ?? 0 };
  }

  read(name: RoomName, from: HistoryFrom, limit: number): unknown {
    const room = this.use(name);
    const head = this.headOf(name);
    this.expire();
    this.expireKeys(room);
    let kept = this.history.filter((other) => other.room === room);
    if (from !== "oldest" && "after" in from) {
      const { epoch, offset } = from.after;
      if (epoch !== head.epoch || offset > head.offset) return { kind: "lost", reason: "epoch", head };
      const following = kept.filter((other) => other.offset > offset);
      if (following.length < head.offset - offset) return { kind: "lost", reason: "expired", head };
      kept = following;
    } else if (from !== "oldest") kept = from.last === 0 ? [] : kept.slice(-from.last);
    return {
      kind: "page",
      messages: kept.slice(0, limit).map(shown),
      more: kept.length > limit,
      head,
    };
  }

  snapshot(name: RoomName): unknown {
    const room = this.use(name);
    this.expireKeys(room);
    const messages = this.state.filter((kept) => kept.room === room).map(shown);
    return { head: this.headOf(name), messages, droppedKeys: room?.droppedKeys ?? 0 };
  }
}

/** In place of a padding: nil. */
const REMOVAL = -1;

// Often the same few, so that every bound of theirs is reached.
const room = fc.constantFrom(
  ...NAMES,
  ...Array.from({ length: 8 }, (_, index) => at(NAMES, 3 * (index % 2))),
);
const key = fc.constantFrom(undefined, "k0", "k1", "k2", "k3", "k4");
const id = fc.constantFrom(undefined, undefined, undefined, "i0", "i1", "i2", "i3", "i4", "i5");
const from = fc.oneof(
  fc.constantFrom("head" as const, "oldest" as const, "other epoch" as const),
  fc.record({ last: fc.nat(12) }),
  fc.record({ seen: fc.nat(30) }),
  fc.record({ back: fc.integer({ min: -1, max: 12 }) }),
);
const step = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.record({
      publish: room,
      key,
      id,
      padding: fc.constantFrom(0, 0, 0, 30, 300, 1_000, REMOVAL),
    }),
  },
  { weight: 4, arbitrary: fc.record({ history: room, from, limit: fc.integer({ min: 1, max: 12 }) }) },
  { weight: 2, arbitrary: fc.record({ state: room }) },
  { weight: 2, arbitrary: fc.record({ toggle: room }) },
  { weight: 2, arbitrary: fc.record({ watch: fc.constantFrom(...PATTERNS) }) },
  { weight: 1, arbitrary: fc.record({ unwatch: fc.constantFrom(...PATTERNS) }) },
  { weight: 2, arbitrary: fc.record({ advance: fc.constantFrom(1, 1_000, 60_000, 150_000, 299_999) }) },
  { weight: 1, arbitrary: fc.constant({ sweep: true as const }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Runs steps against broker and model side by side. */
class Pair {
  readonly model = new Model();
  readonly broker: MemoryBroker;
  readonly #delivered = new Map<RoomName, (number | null)[]>();
  readonly #seen: Position[] = [];
  readonly #watched: [RoomName, number | null][] = [];
  readonly #watcher: Watcher = {
    message: (message) => void this.#watched.push([message.room, told(message).value]),
    lost: () => assert.fail("something was lost"),
  };
  #published = 0;

  constructor(counters: BrokerCounters) {
    const nowMs = () => this.model.nowMs;
    this.broker = new MemoryBroker({
      settingsOf: modelSettings,
      id: "run",
      limits: LIMITS,
      nowMs,
      counters,
    });
  }

  async step(step: Step): Promise<void> {
    if ("watch" in step || "unwatch" in step) {
      await this.#watch(step);
      assert.equal(this.broker.counters.watchedPatterns, this.model.watched.size);
    } else if ("publish" in step) await this.#publish(step.publish, step.padding, step.key, step.id);
    else if ("history" in step)
      await this.#read(step.history, this.#from(step.history, step.from), step.limit);
    else if ("state" in step) {
      const snapshot = await this.broker.state(step.state);
      const messages = snapshot.messages.map(told);
      assert.deepEqual({ ...snapshot, messages }, this.model.snapshot(step.state));
    } else if ("toggle" in step) await this.#toggle(step.toggle);
    else if ("advance" in step) this.model.nowMs += step.advance;
    else this.#sweep();
    for (const [name, values] of this.#delivered) assert.deepEqual(values, this.model.open.get(name));
    assert.deepEqual(this.#watched, this.model.seen);
  }

  async #watch(step: Extract<Step, { watch: RoomPattern } | { unwatch: RoomPattern }>): Promise<void> {
    const { watched } = this.model;
    if ("unwatch" in step) {
      this.broker.unwatch(step.unwatch);
      watched.delete(step.unwatch);
      return;
    }
    const pattern = step.watch;
    const watch = this.broker.watch(pattern, this.#watcher);
    if (watched.has(pattern) || watched.size < LIMITS.patterns) {
      await watch;
      watched.add(pattern);
    } else await assert.rejects(watch, /patterns are watched/);
  }

  /** After a sweep broker and model hold the same bytes. */
  finish(): void {
    this.#sweep();
    this.model.expire();
    const { bytes, rooms, ids } = this.broker.usage;
    assert.equal(bytes, historyBytes(this.model.history) + stateBytes(this.model.state));
    assert.ok(bytes <= LIMITS.bytes && rooms <= LIMITS.rooms && ids <= LIMITS.ids);
  }

  #sweep(): void {
    this.broker.sweep();
    for (const room of this.model.rooms) this.model.expireKeys(room);
  }

  async #publish(name: RoomName, padding: number, key?: string, id?: string): Promise<void> {
    const value = padding === REMOVAL ? null : this.#published++;
    const data = encode(value === null ? null : [value, "x".repeat(padding)]);
    const expected = this.model.publish(name, value, data, key, id);
    const publish = this.broker.publish({ room: name, data, key, id });
    if (expected === undefined) await assert.rejects(publish, /rooms of this broker are open/);
    else {
      assert.deepEqual(await publish, expected);
      this.#seen.push(expected);
    }
  }

  #from(name: RoomName, from: Extract<Step, { history: RoomName }>["from"]): HistoryFrom {
    const head = this.model.headOf(name);
    if (from === "oldest") return from;
    if (from === "head") return { after: head };
    if (from === "other epoch") return { after: { epoch: "other", offset: head.offset } };
    if ("last" in from) return from;
    if ("back" in from) return { after: { ...head, offset: Math.max(0, head.offset - from.back) } };
    return { after: this.#seen.at(-from.seen) ?? EPHEMERAL };
  }

  async #read(name: RoomName, from: HistoryFrom, limit: number): Promise<void> {
    const page = await this.broker.history(name, from, limit);
    const expected = this.model.read(name, from, limit);
    if (page.kind === "lost") assert.deepEqual(page, expected);
    else {
      assert.deepEqual({ ...page, messages: page.messages.map(told) }, expected);
      for (const { offset, prev } of page.messages) assert.equal(prev, offset - 1);
    }
  }

  async #toggle(name: RoomName): Promise<void> {
    const { model } = this;
    if (model.open.delete(name)) {
      this.broker.close(name);
      this.#delivered.delete(name);
      if (model.use(name)?.head === 0) model.rooms = model.rooms.filter((room) => room.name !== name);
      return;
    }
    const values: (number | null)[] = [];
    const opening = this.broker.open(name, {
      message: (message) => values.push(told(message).value),
      reset: () => assert.fail("a reset"),
    });
    const possible = namespaceOf(name) === "eph" ? model.makeRoom() : (model.use(name) ?? model.create(name));
    if (possible === undefined || possible === false)
      await assert.rejects(opening, /rooms of this broker are open/);
    else {
      assert.deepEqual(await opening, model.headOf(name));
      model.open.set(name, []);
      this.#delivered.set(name, values);
    }
  }
}

test("the memory broker does what a naive model does", async (t) => {
  const seed = Number(process.env.FANWIRE_SEED ?? Date.now());
  t.diagnostic(`seed ${seed}`);
  const counters = createBrokerCounters();
  const property = fc.asyncProperty(fc.array(step, { maxLength: 120, size: "max" }), async (steps) => {
    const pair = new Pair(counters);
    for (const step of steps) await pair.step(step);
    pair.finish();
  });
  await fc.assert(property, { seed, numRuns: 2_000 });
  t.diagnostic(JSON.stringify(counters));
  // Nothing is ever missed here; how many patterns are watched now is no total.
  const { sinkErrors, lostPatterns, refusedLists, watchedPatterns: _now, ...caps } = counters;
  assert.equal(sinkErrors + lostPatterns + refusedLists, 0);
  for (const [cap, count] of Object.entries(caps))
    assert.ok(count > 100, `${cap} was reached ${count} times only`);
});

function historyBytes(kept: readonly Kept[]): number {
  const rooms = new Set(kept.map(({ room }) => room)).size;
  return (
    rooms * LOG_OVERHEAD_BYTES + kept.reduce((sum, { bytes }) => sum + bytes + LOG_MESSAGE_OVERHEAD_BYTES, 0)
  );
}

function stateBytes(kept: readonly Kept[]): number {
  return kept.reduce((sum, { bytes }) => sum + bytes + STATE_OVERHEAD_BYTES, 0);
}

function shown({ offset, time, key, value }: Kept): unknown {
  return { offset, time, key, value };
}

function told(message: Message): {
  offset: number;
  time: number;
  key: string | undefined;
  value: number | null;
} {
  const { offset, time, key } = message;
  const data = decode(dataOf(message));
  if (data === null) return { offset, time, key, value: null };
  assert.ok(Array.isArray(data));
  return { offset, time, key, value: Number(at(data, 0)) };
}
