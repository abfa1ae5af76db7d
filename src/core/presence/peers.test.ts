import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseRoom, type RoomName } from "../../protocol/room-name.js";
import { Census } from "./census.js";
import { Exchange, type Guest } from "./exchange.js";
import { encodeGossip } from "./gossip-codec.js";
import { type ListLimits, type PresenceOp, sizeOf, type View } from "./op.js";
import { OwnLog } from "./own-log.js";
import { type PeerCounters, type PeerLimits, Peers } from "./peers.js";

const LIMITS: ListLimits = { members: 4, bytes: 1_000 };
const PEER_LIMITS: PeerLimits = { silentMs: 6_000, askMs: 1_000, peers: 8, entries: 1_000 };
const ROOMS = ["count.a", "count.b", "list.a", "list.b", "list.c"].map(parseRoom);
const IDS = ["ann", "bob", "cat", "dan"];
const HUBS = ["one", "two", "three"];

function createCounters(): PeerCounters {
  return { presenceHoles: 0, presencePeersLost: 0, presenceMalformed: 0, presenceOverflows: 0 };
}

/** One node: a hub, and a worker whose people come and go. */
class Hub {
  readonly name: string;
  readonly counters = createCounters();
  census = new Census(LIMITS);
  isUp = true;
  exchange: Exchange;
  peers: Peers;
  log: OwnLog;
  #life = 0;
  #guest: Guest;

  constructor(name: string, limits = PEER_LIMITS) {
    this.name = name;
    [this.exchange, this.peers, this.log, this.#guest] = this.#start(limits);
  }

  /** Ends, and with it all who were there; or starts as another. */
  restart(): void {
    this.census = new Census(LIMITS);
    [this.exchange, this.peers, this.log, this.#guest] = this.#start(PEER_LIMITS);
    this.isUp = true;
  }

  /** What it says now. */
  speak(nowMs: number, { beats }: { beats: boolean }): Uint8Array[] {
    this.#guest.say(this.census.takeChanges(Number.POSITIVE_INFINITY));
    const { outgoing, assembly } = this.exchange;
    const ops = outgoing?.take(assembly.local, 3) ?? [];
    const said = [...this.log.changes(ops), ...this.log.snapshot(2), ...this.peers.asks(nowMs)];
    const isAllSaid = outgoing?.size === 0;
    return beats && isAllSaid ? [...said, this.log.heartbeat()] : said;
  }

  #start(limits: PeerLimits): [Exchange, Peers, OwnLog, Guest] {
    this.#life += 1;
    const self = { name: this.name, life: this.#life };
    const exchange = new Exchange(this.name, LIMITS, true);
    const log = new OwnLog(self);
    const peers = new Peers(self, exchange.assembly, limits, this.counters, () => log.askSnapshot());
    return [exchange, peers, log, exchange.connect({ isReady: true, told: () => {} })];
  }
}

function shown(view: View | undefined): unknown {
  if (view === undefined || sizeOf(view) === 0) return 0;
  return view.kind === "count" ? view.count : [...view.members.keys()].sort();
}

function truth(hubs: readonly Hub[], room: RoomName): unknown {
  const views = hubs.flatMap(({ census, isUp }) => (isUp ? [census.view(room)] : []));
  const isCounted = views.some((view) => view?.kind === "count");
  const ids = new Set(views.flatMap((view) => (view?.kind === "list" ? [...view.members.keys()] : [])));
  if (isCounted) return views.reduce((sum, view) => sum + (view === undefined ? 0 : sizeOf(view)), 0);
  return ids.size === 0 ? 0 : ids.size > LIMITS.members ? ids.size : [...ids].sort();
}

interface Letter {
  readonly to: Hub;
  readonly bytes: Uint8Array;
}

/** The network between them, and time. */
class World {
  readonly hubs = HUBS.map((name) => new Hub(name));
  nowMs = 0;
  /** What is under way, to whom. */
  #underway: Letter[] = [];
  seconds = 0;

  /** A quarter of a second goes by: all who are up speak, and what arrives is decided by `fate`. */
  step(fate: (index: number) => "arrives" | "lost" | "twice" | "late"): void {
    this.nowMs += 250;
    const beats = this.nowMs % 1_000 === 0;
    for (const speaker of this.hubs) {
      if (!speaker.isUp) continue;
      for (const bytes of speaker.speak(this.nowMs, { beats }))
        for (const to of this.hubs) if (to !== speaker) this.#underway.push({ to, bytes });
    }
    const late: Letter[] = [];
    const now = this.#underway;
    this.#underway = [];
    for (const [index, message] of now.entries()) {
      const what = fate(index);
      if (what === "late") late.push(message);
      if (what === "arrives" || what === "twice") this.#deliver(message);
      if (what === "twice") late.push(message);
    }
    // In another order than they were said in.
    this.#underway = late.reverse();
    for (const hub of this.hubs) if (hub.isUp) hub.peers.age(this.nowMs);
  }

  /** How long it takes until every hub knows the truth, on a network that works. */
  heal(): number {
    const startMs = this.nowMs;
    while (!this.isTrue()) {
      if (this.nowMs - startMs > 20_000) return Number.POSITIVE_INFINITY;
      this.step(() => "arrives");
    }
    return this.nowMs - startMs;
  }

  isTrue(): boolean {
    return this.hubs.every(
      (hub) =>
        !hub.isUp ||
        ROOMS.every(
          (room) =>
            JSON.stringify(shown(hub.exchange.assembly.all.view(room))) ===
            JSON.stringify(truth(this.hubs, room)),
        ),
    );
  }

  #deliver({ to, bytes }: Letter): void {
    if (to.isUp) to.peers.hear(bytes, this.nowMs);
  }
}

const action = fc.record({
  kind: fc.constantFrom("enter", "enter", "enter", "leave", "leave", "step", "step", "die", "restart"),
  hub: fc.nat(HUBS.length - 1),
  room: fc.nat(ROOMS.length - 1),
  id: fc.nat(IDS.length - 1),
  fates: fc.array(fc.constantFrom("arrives", "arrives", "lost", "twice", "late"), {
    minLength: 1,
    maxLength: 12,
  }),
});

function run(
  actions: readonly { kind: string; hub: number; room: number; id: number; fates: readonly string[] }[],
): World {
  const world = new World();
  for (const { kind, hub: which, room: where, id: who, fates } of actions) {
    const hub = world.hubs[which];
    const room = ROOMS[where];
    const id = IDS[who];
    if (hub === undefined || room === undefined || id === undefined) throw new Error("none");
    const isCounted = room.startsWith("count");
    if (kind === "step") {
      world.step((index) => {
        const fate = fates[index % fates.length];
        return fate === "lost" || fate === "twice" || fate === "late" ? fate : "arrives";
      });
    } else if (kind === "die") hub.isUp = false;
    else if (kind === "restart") hub.restart();
    else if (!hub.isUp) continue;
    else if (isCounted) {
      if (kind === "enter") hub.census.count(room, 1);
      else if (hub.census.view(room) !== undefined) hub.census.count(room, -1);
    } else if (kind === "enter") hub.census.enter(room, `${id}-${which}`, undefined);
    else hub.census.leave(room, `${id}-${which}`);
  }
  return world;
}

test("whatever is lost, doubled or late on the way, and whoever dies or starts anew: all hubs come to know the truth", (t) => {
  let worst = 0;
  fc.assert(
    fc.property(fc.array(action, { maxLength: 80, size: "max" }), (actions) => {
      const world = run(actions);
      const took = world.heal();
      worst = Math.max(worst, took);
      // The longest: somebody who died was just heard.
      assert.ok(took <= 9_000, `${took} ms`);
      for (const { counters } of world.hubs) assert.equal(counters.presenceMalformed, 0);
    }),
    { numRuns: 300 },
  );
  t.diagnostic(`the longest took ${worst} ms`);
});

test("on a network that works everything is known within a second, and nobody asks for anything but at the start", () => {
  const world = new World();
  for (let i = 0; i < 4; i++) world.step(() => "arrives");
  const holes = world.hubs.map(({ counters }) => counters.presenceHoles);
  for (const [which, hub] of world.hubs.entries())
    for (const room of ROOMS)
      if (room.startsWith("list")) hub.census.enter(room, `m${which}`, undefined);
      else hub.census.count(room, 1);
  assert.ok(world.heal() <= 1_000);
  for (let i = 0; i < 40; i++) world.step(() => "arrives");
  assert.deepEqual(
    world.hubs.map(({ counters }) => counters.presenceHoles),
    holes,
  );
});

test("who says good-bye is gone at once, and a hub that starts anew under its name takes the place of the one before", () => {
  const world = new World();
  const [one, two] = world.hubs;
  assert.ok(one !== undefined && two !== undefined);
  one.census.count(parseRoom("count.a"), 1);
  assert.ok(world.heal() <= 1_000);
  two.peers.hear(one.log.bye(), world.nowMs);
  assert.equal(two.exchange.assembly.all.view(parseRoom("count.a")), undefined);
  assert.ok(world.heal() <= 3_000, "it was not so: it is heard again, and asked");
  const stale = one.log.heartbeat();
  one.restart();
  world.step(() => "arrives");
  assert.ok(world.heal() <= 1_000);
  two.peers.hear(stale, world.nowMs);
  assert.ok(world.isTrue(), "what comes of the life before says nothing");
});

test("nobody is dropped for silence while nobody can be heard", () => {
  const world = new World();
  const [one, two] = world.hubs;
  assert.ok(one !== undefined && two !== undefined);
  one.census.count(parseRoom("count.a"), 1);
  for (let i = 0; i < 4; i++) world.step(() => "arrives");
  const laterMs = world.nowMs + 60_000;
  two.peers.forgive(laterMs);
  two.peers.age(laterMs + 5_000);
  assert.equal(two.peers.size, 2);
  two.peers.age(laterMs + 7_000);
  assert.equal(two.peers.size, 0);
});

test("above the bound of entries nothing more is kept, it is counted, and asked for again when there is place", () => {
  const small = { ...PEER_LIMITS, entries: 3 };
  const [first, to] = [new Hub("first"), new Hub("to", small)];
  const rooms = Array.from({ length: 10 }, (_, i) => parseRoom(`count.r${i}`));
  for (const room of rooms) first.census.count(room, 1);
  const pass = (nowMs: number): void => {
    for (const bytes of first.speak(nowMs, { beats: true })) to.peers.hear(bytes, nowMs);
    for (const bytes of to.speak(nowMs, { beats: true })) first.peers.hear(bytes, nowMs);
  };
  for (let i = 1; i < 20; i++) pass(i * 1_000);
  assert.ok(to.peers.entries <= 3 + 3, `${to.peers.entries} entries`);
  assert.ok(to.counters.presenceOverflows > 0);
  for (const room of rooms.slice(0, 9)) first.census.count(room, -1);
  for (let i = 20; i < 30; i++) pass(i * 1_000);
  assert.deepEqual(shown(to.exchange.assembly.all.view(parseRoom("count.r9"))), 1);
  assert.equal(to.peers.entries, 1);
});

test("foreign bytes change nothing but a counter, and hubs above the bound are left out", () => {
  const hub = new Hub("one");
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
      hub.peers.hear(bytes, 1);
    }),
    { numRuns: 500 },
  );
  assert.equal(hub.peers.size, 0);
  for (let n = 0; n < 20; n++)
    hub.peers.hear(
      encodeGossip({
        kind: "log",
        from: { name: `forged-${n}`, life: 1 },
        seq: 0,
        part: undefined,
        totals: { rooms: 0, people: 0 },
        ops: new Uint8Array(0),
      }),
      1,
    );
  assert.equal(hub.peers.size, PEER_LIMITS.peers);
  assert.equal(hub.counters.presenceOverflows, 12);
});

/** One hub that speaks and one that listens, message by message. */
class Pair {
  readonly log: OwnLog;
  readonly counters = createCounters();
  readonly exchange = new Exchange("ear", LIMITS, true);
  readonly told: string[] = [];
  readonly peers: Peers;

  constructor(life = 1) {
    this.log = new OwnLog({ name: "mouth", life });
    const self = { name: "ear", life: 1 };
    this.peers = new Peers(self, this.exchange.assembly, PEER_LIMITS, this.counters, () => {});
    const guest = this.exchange.connect({
      isReady: true,
      told: (ops) => this.told.push(...ops.map(({ kind }) => kind)),
    });
    guest.say([{ kind: "watch", room: LIST }]);
    this.exchange.round();
    this.told.length = 0;
  }

  hear(...messages: readonly Uint8Array[]): void {
    for (const bytes of messages) this.peers.hear(bytes, 1);
    this.exchange.round();
  }

  get view(): unknown {
    return shown(this.exchange.assembly.all.view(LIST));
  }

  get asks(): number {
    return this.peers.asks(10_000).length;
  }
}

const LIST = parseRoom("list.a");
const bare = { info: undefined };
const list: PresenceOp = { kind: "list", room: LIST };
const join = (id: string): PresenceOp => ({ kind: "join", room: LIST, id, member: bare });
const leave = (id: string): PresenceOp => ({ kind: "leave", room: LIST, id });

test("a message that comes again, after a later one, is not taken", () => {
  const pair = new Pair();
  const first = pair.log.changes([list, join("ann"), join("bob")]);
  const second = pair.log.changes([leave("ann")]);
  pair.hear(...first, ...second, ...first);
  assert.deepEqual(pair.view, ["bob"]);
  assert.equal(pair.counters.presenceHoles, 0);
});

test("a lost change is noticed by the next, or by the heartbeat, also where totals are what they were", () => {
  for (const how of ["next", "heartbeat"]) {
    const pair = new Pair();
    const { log } = pair;
    pair.hear(...log.changes([list, join("ann")]));
    log.changes([leave("ann"), join("bob")]);
    pair.hear(...(how === "next" ? log.changes([join("bob")]) : [log.heartbeat()]));
    assert.equal(pair.counters.presenceHoles, 1, how);
    assert.equal(pair.asks, 1);
    log.askSnapshot();
    pair.hear(...log.snapshot(100));
    assert.deepEqual(pair.view, ["bob"]);
    assert.equal(pair.asks, 0);
    assert.deepEqual(log.snapshot(100), [], "who was asked once answers once");
  }
});

test("where both ends do not come to the same, everything is asked for", () => {
  const pair = new Pair();
  const { log } = pair;
  const [bytes] = log.changes([list, join("ann")]);
  assert.ok(bytes !== undefined);
  // Its head is right, what it says is not.
  bytes.fill(0x0f, bytes.length - 3);
  bytes[bytes.length - 20] = 0x0f;
  pair.hear(bytes);
  assert.equal(pair.counters.presenceMalformed, 1);
  assert.equal(pair.asks, 0);
  pair.hear(log.heartbeat());
  assert.equal(pair.asks, 1);
});

test("a snapshot that others have asked for is nothing to who has missed nothing", () => {
  const pair = new Pair();
  const { log } = pair;
  pair.hear(...log.changes([list, join("ann")]));
  assert.deepEqual(pair.told.splice(0), ["list", "join"]);
  log.askSnapshot();
  pair.hear(...log.snapshot(100), ...log.changes([join("bob")]));
  assert.deepEqual(pair.told, ["join"]);
  assert.equal(pair.asks, 0);
});

test("what a hub said in the life before does not come back", () => {
  const pair = new Pair();
  const before = pair.log.changes([list, join("ann")]);
  const now = new OwnLog({ name: "mouth", life: 2 });
  pair.hear(...now.changes([list, join("bob")]), ...before);
  assert.deepEqual(pair.view, ["bob"]);
});
