import assert from "node:assert/strict";
import { test } from "node:test";
import { createCounters } from "./counters.js";
import type { Flushable, Lane, Lodger } from "./lane.js";
import { Lanes } from "./lanes.js";
import { Packer } from "./packer.js";
import type { Fanout } from "./ports.js";

const packer = new Packer();
const fanout: Fanout = {
  publish: () => undefined,
  requestTick: () => undefined,
  requestFlush: () => undefined,
  isBusy: false,
  wakeAt: () => undefined,
  wallMs: () => 0,
};

const lodger = (): Lodger => ({ lookAtBuffer: () => undefined });

class Rig {
  readonly counters = createCounters();
  readonly lanes: Lanes;
  /** Names of the rooms that were flushed, in order. */
  readonly flushed: string[] = [];

  constructor(socketsMax: number) {
    this.lanes = new Lanes(socketsMax, this.counters);
  }

  places(count: number): Lane[] {
    return Array.from({ length: count }, () => this.lanes.acquire(lodger()));
  }

  /** A room that has something for a lane, in so many parts. */
  room(lane: Lane, name: string, members: number, parts = 1): void {
    let left = parts;
    const room: Flushable = {
      queued: false,
      members,
      flush: () => {
        left -= 1;
        this.flushed.push(name);
        if (left > 0) lane.queue(room);
        if (name.startsWith("broken")) throw new Error("on purpose");
      },
    };
    this.lanes.queue(lane, room);
  }

  tick(): string[] {
    this.lanes.flush(fanout, packer);
    return this.flushed.splice(0);
  }
}

const ids = (lanes: readonly Lane[]): number[] => lanes.map(({ id }) => id);

test("a socket gets a place in the first lane that has one, also where one was given back", () => {
  const { lanes, counters } = new Rig(2);
  const lodgers = Array.from({ length: 5 }, lodger);
  const taken = lodgers.map((one) => lanes.acquire(one));
  assert.deepEqual(ids(taken), [0, 0, 1, 1, 2]);
  assert.equal(counters.lanes, 3);
  for (const index of [4, 2, 0]) {
    const [lane, one] = [taken[index], lodgers[index]];
    if (lane !== undefined && one !== undefined) lanes.release(lane, one);
  }
  assert.equal(counters.lanes, 2);
  assert.deepEqual(
    Array.from({ length: 4 }, () => lanes.acquire(lodger()).id),
    [0, 1, 2, 2],
  );
  assert.equal(counters.lanes, 3);
});

test("full lanes take turns, one a tick, and one that comes back queues behind the others", () => {
  const rig = new Rig(2);
  const places = rig.places(6);
  for (const lane of new Set(places)) rig.room(lane, `a${lane.id}`, 2);
  assert.deepEqual(rig.tick(), ["a0"]);
  for (const lane of new Set(places)) rig.room(lane, `b${lane.id}`, 2);
  assert.deepEqual(rig.tick(), ["a1", "b1"]);
  assert.deepEqual(rig.tick(), ["a2", "b2"]);
  assert.equal(rig.lanes.isWaiting, true);
  assert.deepEqual(rig.tick(), ["b0"]);
  assert.equal(rig.lanes.isWaiting, false);
  assert.deepEqual(rig.tick(), []);
  assert.deepEqual([rig.counters.laneFlushes, rig.counters.laneWaits], [4, 5]);
});

test("lanes that write to few sockets share a tick", () => {
  const rig = new Rig(10);
  const [a, b, c] = [...new Set(rig.places(30))];
  assert.ok(a !== undefined && b !== undefined && c !== undefined);
  rig.room(a, "a", 4);
  rig.room(b, "b", 6);
  rig.room(c, "c", 1);
  assert.deepEqual(rig.tick(), ["a", "b"]);
  assert.deepEqual(rig.tick(), ["c"]);
});

test("a socket in many rooms counts once, as it is written to once", () => {
  const rig = new Rig(10);
  const [full, small] = [...new Set(rig.places(12))];
  assert.ok(full !== undefined && small !== undefined);
  rig.room(full, "other", 8);
  for (const name of ["a", "b", "c"]) rig.room(small, name, 2);
  assert.deepEqual(rig.tick(), ["other", "a", "b", "c"]);
  for (const name of ["a", "b", "c"]) rig.room(full, name, 3);
  rig.room(small, "other", 2);
  assert.deepEqual(rig.tick(), ["a", "b", "c"]);
});

test("what a room may not send in this tick waits for another, however much room the tick has", () => {
  const rig = new Rig(100);
  const [lane] = rig.places(1);
  assert.ok(lane !== undefined);
  rig.room(lane, "a", 1, 3);
  rig.room(lane, "b", 1);
  assert.deepEqual(rig.tick(), ["a", "b"]);
  assert.deepEqual(rig.tick(), ["a"]);
  assert.deepEqual(rig.tick(), ["a"]);
  assert.equal(rig.lanes.isWaiting, false);
});

test("a room that throws costs neither the rest of its lane nor other lanes their turn", () => {
  const rig = new Rig(2);
  const [a, , b] = rig.places(4);
  assert.ok(a !== undefined && b !== undefined);
  rig.room(a, "before", 1);
  rig.room(a, "broken", 1, 2);
  rig.room(a, "behind", 1);
  rig.room(b, "other", 2);
  assert.throws(() => rig.tick(), /on purpose/);
  assert.deepEqual(rig.flushed.splice(0), ["before", "broken"]);
  assert.deepEqual(rig.tick(), ["other"]);
  assert.throws(() => rig.tick(), /on purpose/);
  assert.deepEqual(rig.flushed.splice(0), ["behind", "broken"]);
  assert.equal(rig.lanes.isWaiting, false);
});

test("sockets are looked at when much went to each, and when that was to enough of them to be worth it", () => {
  const { lanes } = new Rig(100);
  let looks = 0;
  const one = (): Lodger => ({ lookAtBuffer: () => (looks += 1) });
  const [lane] = Array.from({ length: 80 }, () => lanes.acquire(one()));
  const publish = (bytes: number, members: number): number => {
    looks = 0;
    const room = { queued: false, members, flush: () => lane?.published(bytes, members) };
    lanes.queue(lane ?? assert.fail(), room);
    lanes.flush(fanout, packer);
    lanes.look(8_000);
    return looks;
  };
  assert.equal(publish(5_000, 80), 0, "too little");
  assert.equal(publish(5_000, 80), 80);
  assert.equal(publish(16_000, 2), 0, "not for two writes");
  for (let writes = 4; writes < 10; writes += 2) assert.equal(publish(16_000, 2), 0);
  assert.equal(publish(16_000, 2), 80);
  assert.equal(publish(5_000, 80), 0);
});
