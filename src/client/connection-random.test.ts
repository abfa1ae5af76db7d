import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseRoom } from "../protocol/room-name.js";
import { Rig } from "./connection.testkit.js";
import type { SubscriptionEvent } from "./effect.js";
import { ModelServer } from "./model-server.testkit.js";

const SEED = Number(process.env.FC_SEED ?? Math.floor(Math.random() * 2 ** 31));
const RUNS = Number(process.env.FC_RUNS ?? 10_000);
const QUEUE_MESSAGES = 5;

const PLAIN = ["plain.a", "plain.b", "last.c"] as const;
const ALL = [...PLAIN, "state.d"] as const;
const KINDS = [
  ...["publish", "publish", "publish", "publish", "deliver", "deliver", "deliver", "advance", "advance"],
  ...["ask", "subscribe", "unsubscribe", "cut", "stall", "goaway", "renumber", "drop", "lose", "repeat"],
  ...["refuse", "silent", "online", "offline", "visible", "hidden", "garbled"],
] as const;

const steps = fc.array(
  fc.record({
    kind: fc.constantFrom(...KINDS),
    room: fc.constantFrom(...ALL),
    n: fc.nat({ max: 12 }),
  }),
  { maxLength: 120 },
);
type Step = Readonly<{ kind: (typeof KINDS)[number]; room: (typeof ALL)[number]; n: number }>;

/** One room as an application sees it, checked at every event against all that the server ever stored. */
class Viewer {
  readonly id: number;
  readonly room: string;
  readonly state = new Map<string, unknown>();
  live = false;
  #epoch: string | undefined;
  #offset = 0;
  /** It knows that it starts anew. */
  #told = true;

  constructor(id: number, room: string) {
    this.id = id;
    this.room = room;
  }

  see(event: SubscriptionEvent, server: ModelServer): void {
    const archive = server.rooms.get(this.room)?.archive ?? [];
    const next = (): number | undefined =>
      archive.find(({ epoch, offset }) => epoch === this.#epoch && offset > this.#offset)?.offset;
    switch (event.kind) {
      case "subscribed": {
        const { position, recovered } = event.subscribed;
        if (recovered) assert.deepEqual(position, { epoch: this.#epoch, offset: this.#offset });
        else assert.ok(this.#told, "a position that was lost is told");
        this.#told = false;
        this.#epoch = position?.epoch;
        this.#offset = position?.offset ?? 0;
        return;
      }
      case "reset":
        this.#told = true;
        this.#epoch = event.reset.position?.epoch;
        this.#offset = event.reset.position?.offset ?? 0;
        this.state.clear();
        return;
      case "message": {
        const { epoch, offset, data, key, replayed } = event.message;
        assert.equal(epoch, this.#epoch);
        assert.equal(data, `${epoch}:${offset}`);
        // A snapshot leaves out what is superseded.
        if (this.room.startsWith("state.") && replayed) assert.ok(offset > this.#offset);
        else assert.equal(offset, next(), "in order, none twice, none missing");
        this.#offset = offset;
        if (key !== undefined) this.state.set(key, data);
        return;
      }
      case "live":
        assert.equal(event.position?.epoch, this.#epoch);
        if (!this.room.startsWith("state.")) assert.ok((next() ?? Infinity) > (event.position?.offset ?? 0));
        this.#offset = event.position?.offset ?? 0;
        return;
      case "state":
        this.live = event.state.kind === "live";
        return;
      case "error":
        return;
    }
  }

  get position(): { epoch: string | undefined; offset: number } {
    return { epoch: this.#epoch, offset: this.#offset };
  }
}

class Run {
  readonly rig: Rig;
  readonly server = new ModelServer(ALL);
  readonly viewers = new Map<string, Viewer>();
  readonly open = new Set<number>();
  #stalled = false;

  constructor() {
    this.rig = new Rig({ queueMessages: QUEUE_MESSAGES, timeoutMs: 1_000, deadMs: 1_000, token: () => "t" });
    this.rig.random = 0.7;
    this.rig.step({ kind: "connect" });
    for (const room of ALL) this.subscribe(room);
    this.settle();
  }

  do({ kind, room, n }: Step): void {
    const { rig, server } = this;
    switch (kind) {
      case "publish":
        server.publish(room, 1 + (n % 3), room === "state.d" ? `k${n}` : undefined);
        return;
      case "deliver":
        if (rig.socket && !this.#stalled) this.deliver(n);
        return;
      case "advance":
        this.advance(n * n * 3);
        return;
      case "ask":
        this.open.add(
          n % 3 === 0
            ? rig.request({ type: "history", room: parseRoom(room), options: {} }, 2_000)
            : rig.publish(room, n),
        );
        return;
      case "subscribe":
        if (!this.viewers.has(room)) this.subscribe(room);
        return;
      case "unsubscribe":
        this.unsubscribe(room);
        return;
      case "cut":
        this.cut([1006, 1012, 4401, 4408, 4503][n % 5]);
        return;
      case "stall":
        this.#stalled = n % 2 === 0;
        return;
      case "goaway":
        if (rig.state.kind === "open") server.goaway(n * 20);
        return;
      case "renumber":
        server.renumber(room);
        return;
      case "drop":
        if (rig.state.kind === "open") server.drop(n);
        return;
      case "lose":
        server.lose(n);
        return;
      case "repeat":
        server.repeat(n);
        return;
      case "refuse":
        server.refusing = n % 3;
        return;
      case "silent":
        server.silent = n % 3;
        return;
      case "garbled":
        if (rig.socket) rig.step({ kind, reason: "noise" });
        return;
      default:
        rig.step({ kind });
    }
  }

  subscribe(room: (typeof ALL)[number]): void {
    const last = room.startsWith("last.") ? 3 : undefined;
    const id = this.rig.subscribe(room, { state: room.startsWith("state."), last });
    this.viewers.set(room, new Viewer(id, room));
  }

  unsubscribe(room: string): void {
    const viewer = this.viewers.get(room);
    if (viewer === undefined) return;
    this.viewers.delete(room);
    this.rig.step({ kind: "unsubscribe", id: viewer.id });
  }

  deliver(n: number): void {
    this.rig.step({ kind: "received", frames: this.server.take(n) });
  }

  cut(code = 1006): void {
    if (!this.rig.socket) return;
    this.server.disconnected();
    this.rig.closed(code);
  }

  /** In small pieces, so that the server sees what a tick sends at its time. */
  advance(ms: number): void {
    for (let left = ms; left > 0; left -= 25) {
      this.rig.advance(Math.min(25, left));
      this.settle();
    }
  }

  /** Hands over what was done to whom it concerns, and checks what must hold at any time. */
  settle(): void {
    const { rig, server } = this;
    rig.advance(0);
    const effects = rig.effects;
    rig.forget();
    for (const effect of effects) {
      switch (effect.kind) {
        case "connect":
          server.connected();
          this.#stalled = false;
          break;
        case "close":
          server.disconnected();
          break;
        case "send":
          assert.ok(rig.state.kind !== "idle");
          if (!this.#stalled) server.receive(rig.decode(effect.bytes));
          break;
        case "subscription":
          for (const viewer of this.viewers.values())
            if (viewer.id === effect.id) viewer.see(effect.event, server);
          break;
        case "answer":
        case "refusal":
          assert.ok(this.open.delete(effect.id), "a request is settled once");
          break;
        default:
          break;
      }
    }
    const { kind } = rig.state;
    assert.equal(rig.socket, kind === "connecting" || kind === "open", `a socket while ${kind}`);
    assert.ok(rig.wakeAtMs < Number.POSITIVE_INFINITY, `${kind} without a wake`);
    assert.ok(this.open.size <= QUEUE_MESSAGES + 128);
    assert.ok(kind !== "closed");
  }

  /** No more faults: in the end every room is live at its head and every request is settled. */
  finish(): void {
    this.server.refusing = 0;
    this.server.silent = 0;
    for (let i = 0; i < 200; i++) {
      if (i === 100) for (const room of ALL) this.server.publish(room, 1, "k");
      if (this.rig.socket && !this.#stalled) this.deliver(1_000);
      this.settle();
      this.advance(500);
    }
    assert.equal(this.rig.state.kind, "open");
    assert.equal(this.open.size, 0);
    for (const [name, viewer] of this.viewers) {
      const room = this.server.rooms.get(name);
      assert.deepEqual(viewer.position, { epoch: room?.epoch, offset: room?.head });
      assert.ok(viewer.live, `${name} is live`);
      if (!name.startsWith("state.")) continue;
      const state = (room?.state() ?? []).map(
        ({ key, epoch, offset }) => [key, `${epoch}:${offset}`] as const,
      );
      assert.deepEqual(
        [...viewer.state].sort(([a], [b]) => (a < b ? -1 : 1)),
        state.sort(([a = ""], [b = ""]) => (a < b ? -1 : 1)),
      );
    }
  }
}

test(`received = published, in order, none twice, or told; never stuck, whatever happens (seed ${SEED})`, () => {
  fc.assert(
    fc.property(steps, (list) => {
      const run = new Run();
      for (const step of list) {
        run.do(step);
        run.settle();
      }
      run.finish();
    }),
    { seed: SEED, numRuns: RUNS },
  );
});
