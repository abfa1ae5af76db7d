import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseRoom, type RoomName } from "../../protocol/room-name.js";
import { Census } from "./census.js";
import { Exchange, type Guest } from "./exchange.js";
import { type ListLimits, NOBODY, type PresenceOp, sizeOf, type View } from "./op.js";
import { decodeOps, decodeWords, encodeWords } from "./op-codec.js";
import { Roster } from "./roster.js";

const LIMITS: ListLimits = { members: 3, bytes: 60 };
const ROOMS = ["count.a", "count.b", "list.a", "list.b"].map(parseRoom);
const IDS = ["ann", "bob", "zoë", "dan", "eve"];

let connects = 0;

/** A worker: who is there, as the test knows it, and what it was told of rooms that it watches. */
class World {
  readonly exchange = new Exchange("n", LIMITS, false);
  readonly workers = [0, 1, 2].map(() => new Worker(this.exchange));

  /** All that is under way arrives. */
  settle(): void {
    for (const worker of this.workers) worker.report(Number.POSITIVE_INFINITY);
    while (this.exchange.round());
  }

  truth(room: RoomName): { readonly count: number; readonly members: Map<string, string> | undefined } {
    const counts = this.workers.map((worker) => worker.counts.get(room) ?? 0);
    if (room.startsWith("count")) return { count: counts.reduce((a, b) => a + b, 0), members: undefined };
    const members = new Map<string, string>();
    const reports = this.workers.map(({ census }) => census.view(room));
    const inOrder = [...this.workers].sort((a, b) => a.connectedAs - b.connectedAs);
    for (const { seats } of inOrder)
      for (const [seat, { info }] of seats) {
        const [where, id = ""] = seat.split(" ");
        if (where === room && !members.get(id)) members.set(id, info);
      }
    if (reports.some((view) => view?.kind === "count"))
      return { count: reports.reduce((sum, view) => sum + sizeOf(view ?? NOBODY), 0), members: undefined };
    const bytes = [...members].reduce((sum, [id, info]) => sum + id.length + info.length, 0);
    const isListed = members.size <= LIMITS.members && bytes <= LIMITS.bytes;
    return { count: members.size, members: isListed ? members : undefined };
  }
}

class Worker {
  readonly exchange: Exchange;
  readonly counts = new Map<RoomName, number>();
  readonly seats = new Map<string, { times: number; info: string }>();
  readonly watched = new Set<RoomName>();
  census = new Census(LIMITS);
  known = new Roster();
  isReady = true;
  /** Of two workers that tell different data of a member, the one that was there first is believed. */
  connectedAs = 0;
  #guest: Guest;

  constructor(exchange: Exchange) {
    this.exchange = exchange;
    this.#guest = this.#connect();
  }

  enter(room: RoomName, id: string, info: string): void {
    if (room.startsWith("count")) {
      this.counts.set(room, (this.counts.get(room) ?? 0) + 1);
      this.census.count(room, 1);
      return;
    }
    const seat = this.seats.get(`${room} ${id}`) ?? { times: 0, info: "" };
    this.seats.set(`${room} ${id}`, { times: seat.times + 1, info: info || seat.info });
    this.census.enter(room, id, info ? new TextEncoder().encode(info) : undefined);
  }

  leave(room: RoomName, id: string): void {
    if (room.startsWith("count")) {
      const count = this.counts.get(room) ?? 0;
      if (count === 0) return;
      this.counts.set(room, count - 1);
      this.census.count(room, -1);
      return;
    }
    const seat = this.seats.get(`${room} ${id}`);
    if (seat === undefined) return;
    seat.times -= 1;
    if (seat.times === 0) this.seats.delete(`${room} ${id}`);
    this.census.leave(room, id);
  }

  report(enough: number): void {
    const words = this.census.takeChanges(enough);
    for (const piece of encodeWords(words, 40)) this.#guest.say(decodeWords(piece));
  }

  watch(room: RoomName, isWanted: boolean): void {
    if (isWanted) this.watched.add(room);
    else {
      this.watched.delete(room);
      this.known.remove(room);
    }
    this.#guest.say([{ kind: isWanted ? "watch" : "unwatch", room }]);
  }

  /** Its link is lost and comes back. */
  reconnect(): void {
    this.#guest.leave();
    this.#guest = this.#connect();
    this.census.reportAnew(() => true);
    for (const room of this.watched) this.#guest.say([{ kind: "watch", room }]);
  }

  /** Another takes its place, with nobody there. */
  die(): void {
    this.counts.clear();
    this.seats.clear();
    this.census = new Census(LIMITS);
    this.reconnect();
  }

  #connect(): Guest {
    this.connectedAs = ++connects;
    const isReady = (): boolean => this.isReady;
    return this.exchange.connect({
      get isReady() {
        return isReady();
      },
      told: (ops: readonly PresenceOp[]) => {
        for (const piece of encodeWords(ops, 40))
          for (const op of decodeOps(piece)) if (this.watched.has(op.room)) this.known.apply(op);
      },
    });
  }
}

function shown(view: View | undefined): unknown {
  if (view === undefined || sizeOf(view) === 0) return { count: 0, members: undefined };
  if (view.kind === "count") return { count: view.count, members: undefined };
  const entries = [...view.members].map(([id, { info }]) => [id, new TextDecoder().decode(info)] as const);
  return { count: view.members.size, members: new Map(entries) };
}

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(
      fc.constantFrom("enter", "leave"),
      fc.nat(2),
      fc.nat(3),
      fc.nat(IDS.length - 1),
      fc.constantFrom("", "x", "long data of a member"),
    ),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(
      fc.constantFrom("report", "round", "stall", "go on"),
      fc.nat(2),
      fc.nat(3),
      fc.nat(0),
      fc.constant(""),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(
      fc.constantFrom("watch", "unwatch", "reconnect", "die"),
      fc.nat(2),
      fc.nat(3),
      fc.nat(0),
      fc.constant(""),
    ),
  },
);

test("whoever watches comes to know how it is, whatever came and went, was cut off or stood still", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: "max" }), (steps) => {
      const world = new World();
      for (const worker of world.workers) for (const room of ROOMS) worker.watch(room, true);
      for (const [kind, which, where, who, info] of steps) {
        const worker = world.workers[which];
        const room = ROOMS[where];
        const id = IDS[who];
        if (worker === undefined || room === undefined || id === undefined) throw new Error("none");
        if (kind === "enter") worker.enter(room, id, info);
        else if (kind === "leave") worker.leave(room, id);
        else if (kind === "report") worker.report(1);
        else if (kind === "round") world.exchange.round();
        else if (kind === "stall" || kind === "go on") worker.isReady = kind === "go on";
        else if (kind === "reconnect") worker.reconnect();
        else if (kind === "die") worker.die();
        else worker.watch(room, kind === "watch");
      }
      for (const worker of world.workers) worker.isReady = true;
      world.settle();
      for (const worker of world.workers)
        for (const room of worker.watched) {
          const { count, members } = world.truth(room);
          const expected = count === 0 ? { count, members: undefined } : { count, members };
          const known = shown(worker.known.view(room));
          assert.deepEqual(known, expected, room);
        }
    }),
    { numRuns: 500 },
  );
});

test("a member that is on several workers is one; above the limit each of them counts it, and nobody is listed", () => {
  const world = new World();
  const [first, second] = world.workers;
  const room = parseRoom("list.a");
  assert.ok(first !== undefined && second !== undefined);
  first.watch(room, true);
  for (const worker of [first, second]) for (const id of ["ann", "bob"]) worker.enter(room, id, "");
  world.settle();
  assert.deepEqual(shown(first.known.view(room)), {
    count: 2,
    members: new Map([
      ["ann", ""],
      ["bob", ""],
    ]),
  });
  for (const id of ["c", "d", "e"]) first.enter(room, id, "");
  world.settle();
  assert.deepEqual(shown(first.known.view(room)), { count: 7, members: undefined });
});

test("who comes and goes between two reports is never told of, and one room is told once a round", () => {
  const census = new Census(LIMITS);
  const room = parseRoom("list.a");
  for (let i = 0; i < 1_000; i++) {
    census.enter(room, `m${i % 7}`, undefined);
    census.leave(room, `m${i % 7}`);
  }
  census.enter(room, "stays", undefined);
  const ops = census.takeChanges(100);
  assert.deepEqual(
    ops.map(({ kind }) => kind),
    ["list", "join"],
  );
  assert.deepEqual(census.takeChanges(100), []);
});

test("bytes that are no words are refused, and cost no more than they are", () => {
  const words = encodeWords(
    [
      { kind: "list", room: parseRoom("a.b") },
      { kind: "join", room: parseRoom("a.b"), id: "x", member: { info: Uint8Array.of(1, 2) } },
      { kind: "count", room: parseRoom("a.c"), count: 7 },
    ],
    1_000,
  )[0];
  assert.ok(words !== undefined);
  for (let end = 1; end < words.length; end++) {
    const cut = words.subarray(0, end);
    try {
      assert.ok(decodeOps(cut).length < 3);
    } catch (cause) {
      assert.ok(cause instanceof Error);
    }
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        assert.ok(decodeWords(bytes).length <= bytes.length);
      } catch (cause) {
        assert.ok(cause instanceof Error);
      }
    }),
    { numRuns: 2_000 },
  );
});

test("when all lists together are too long, rooms that grow only count, keep no data, and list again once they were empty", () => {
  let cuts = 0;
  const census = new Census({ members: 100, bytes: 16_000 }, 500, () => {
    cuts += 1;
  });
  const [first, second] = [parseRoom("list.a"), parseRoom("list.b")];
  const info = new Uint8Array(200);
  for (const id of ["a", "b"]) census.enter(first, id, info);
  assert.equal(cuts, 0);
  census.enter(second, "c", info);
  census.enter(first, "d", info);
  assert.equal(cuts, 2);
  assert.deepEqual(
    [shown(census.view(second)), shown(census.view(first))],
    [
      { count: 1, members: undefined },
      { count: 3, members: undefined },
    ],
  );
  assert.equal(census.leave(second, "c"), undefined);
  for (const id of ["a", "b", "d"]) census.leave(first, id);
  census.enter(first, "e", undefined);
  assert.deepEqual(shown(census.view(first)), { count: 1, members: new Map([["e", ""]]) });
});
