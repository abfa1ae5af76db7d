import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, encode } from "@msgpack/msgpack";
import fc from "fast-check";
import type { HistoryFrom, Watcher } from "../core/ports.js";
import type { Position } from "../protocol/frames.js";
import { dataOf, type Message } from "../protocol/message.js";
import { namespaceOf, parseRoom, type RoomName } from "../protocol/room-name.js";
import { parsePattern, type RoomPattern } from "../protocol/room-pattern.js";
import { at } from "./conformance-rig.testkit.js";
import { type BrokerCounters, createBrokerCounters } from "./counters.js";
import { MemoryBroker } from "./memory.js";
import { EPHEMERAL, MemoryModel, MODEL_LIMITS, modelSettings } from "./memory-model.testkit.js";

const NAMES = ["log.a", "log.b", "log.c", "keyed.a", "keyed.b", "bare.a", "eph.a", "eph.b"].map(parseRoom);
const PATTERNS = ["log.*", ">", "eph.a", "*.b", "keyed.>"].map(parsePattern);

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
  readonly model = new MemoryModel();
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
      limits: MODEL_LIMITS,
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
    if (watched.has(pattern) || watched.size < MODEL_LIMITS.patterns) {
      await watch;
      watched.add(pattern);
    } else await assert.rejects(watch, /patterns are watched/);
  }

  /** After a sweep broker and model hold the same bytes. */
  finish(): void {
    this.#sweep();
    this.model.expire();
    const { bytes, rooms, ids } = this.broker.usage;
    assert.equal(bytes, this.model.bytes);
    assert.ok(bytes <= MODEL_LIMITS.bytes && rooms <= MODEL_LIMITS.rooms && ids <= MODEL_LIMITS.ids);
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
