import assert from "node:assert/strict";
import { test } from "node:test";
import { HistoryBudget } from "../../core/history-budget.js";
import type { HistoryFrom } from "../../core/ports.js";
import { createMessage, type Message } from "../../protocol/message.js";
import { parseRoom } from "../../protocol/room-name.js";
import { DEFAULT_NATS_LIMITS } from "./limits.js";
import { createNatsCounters } from "./nats-counters.js";
import { type Delivery, OpenRoom } from "./open-room.js";
import { markOf, PageCache } from "./page-cache.js";
import type { Stream } from "./streams.js";

const KEEP_MS = 10_000;

/** An open room at 50 whose stream, clock and budget are the test's; 10, 20, … 50 can be read back. */
class Rig {
  nowMs = 1_000_000;
  readonly stream = { epoch: "e" };
  readonly room: OpenRoom;
  readonly cache: PageCache;

  constructor({ bytes = 1_000_000, seconds = 60 } = {}) {
    const delivery: Delivery = {
      limits: DEFAULT_NATS_LIMITS,
      counters: createNatsCounters(),
      nowMs: () => this.nowMs,
      tailBudget: new HistoryBudget(1_000_000),
      onSinkError: (cause) => assert.fail(String(cause)),
    };
    const { stream } = this;
    const position = (offset: number): unknown => ({ epoch: stream.epoch, offset });
    const fake = Object.assign(stream, { position }) as unknown as Stream;
    const sink = { message: () => undefined, reset: () => undefined };
    const history = { messages: 8, seconds };
    this.room = new OpenRoom(parseRoom("a.b"), "a~b", fake, history, sink, delivery, () => undefined);
    this.room.opened({ epoch: "e", offset: 50 });
    this.cache = new PageCache(bytes, KEEP_MS, () => this.nowMs);
  }

  live(sequence: number): void {
    const data = Uint8Array.of(1);
    const headers = `NATS/1.0\r\nFw: ${this.nowMs.toString(36)};;\r\n\r\n`;
    const storedMs = this.nowMs;
    this.room.deliver({ sequence, storedMs, headers, data, roomToken: "a~b", keyToken: undefined });
  }

  read(from: number, upTo: number, { more = false, head = upTo } = {}): void {
    const messages: Message[] = [];
    for (let offset = from - (from % 10) + 10; offset <= upTo; offset += 10)
      messages.push(
        createMessage({
          room: this.room.name,
          offset,
          prev: offset - 10,
          time: this.nowMs,
          data: Uint8Array.of(1),
        }),
      );
    const read = more ? upTo : Math.max(upTo, this.room.last);
    this.cache.put(markOf(this.room), {
      from,
      messages,
      more,
      upTo: read,
      head: { epoch: "e", offset: head },
    });
  }

  ask(from: number | HistoryFrom, limit = 100): unknown {
    const wanted = typeof from === "number" ? { after: { epoch: "e", offset: from } } : from;
    const page = this.cache.page(this.room, wanted, limit);
    if (page?.kind !== "page") return page?.reason;
    const offsets = page.messages.map(({ offset }) => offset);
    return [...offsets, ...(page.more ? ["more"] : []), `at ${page.head.offset}`];
  }
}

test("what was read back and what came live since are one page", () => {
  const rig = new Rig();
  assert.equal(rig.ask(20), undefined);
  rig.read(20, 50);
  assert.deepEqual(rig.ask(20), [30, 40, 50, "at 50"]);
  rig.live(60);
  rig.live(70);
  assert.deepEqual(rig.ask(30), [40, 50, 60, 70, "at 70"]);
  assert.deepEqual(rig.ask(30, 3), [40, 50, 60, "more", "at 70"]);
  assert.deepEqual(rig.ask({ last: 4 }), [40, 50, 60, 70, "at 70"]);
  assert.deepEqual(rig.ask({ last: 4 }, 1), [40, "more", "at 70"]);
  assert.equal(rig.ask({ last: 6 }), undefined);
  assert.equal(rig.ask(10), undefined);
  assert.equal(rig.ask("oldest"), undefined);
});

test("a page that does not reach what came live is of no use", () => {
  const rig = new Rig();
  rig.read(20, 40, { more: true, head: 50 });
  assert.equal(rig.ask(20), undefined);
  rig.read(20, 50);
  assert.deepEqual(rig.ask(20), [30, 40, 50, "at 50"]);
});

test("a page that is ahead of the live flow counts, unless something behind it was acknowledged", () => {
  const rig = new Rig();
  rig.read(20, 60);
  assert.deepEqual(rig.ask(30), [40, 50, 60, "at 60"]);
  rig.room.acknowledged = 70;
  assert.equal(rig.ask(30), undefined);
  rig.live(60);
  assert.equal(rig.ask(30), undefined);
  rig.live(70);
  assert.deepEqual(rig.ask(30), [40, 50, 60, 70, "at 70"]);
});

test("a room that was opened, or has come, further than its last message goes on from there", () => {
  const rig = new Rig();
  rig.read(20, 40);
  assert.deepEqual(rig.ask(20), [30, 40, "at 50"]);
  rig.live(60);
  assert.deepEqual(rig.ask(20), [30, 40, 60, "at 60"]);
  const page = rig.cache.page(rig.room, { after: { epoch: "e", offset: 20 } }, 10);
  assert.deepEqual(page?.kind === "page" && page.messages.map(({ prev }) => prev), [20, 30, 40]);
  // What came live while it was read may be missing in it.
  const other = new Rig();
  const mark = markOf(other.room);
  other.live(60);
  other.live(70);
  other.cache.put(mark, { from: 20, messages: [], more: false, upTo: 50, head: { epoch: "e", offset: 50 } });
  other.room.reset({ epoch: "e", offset: 80 }, "purged");
  assert.equal(other.ask(20), undefined);
});

test("it keeps what begins lower", () => {
  const rig = new Rig();
  rig.read(30, 50);
  rig.read(10, 50);
  rig.read(20, 50);
  assert.deepEqual(rig.ask(10), [20, 30, 40, 50, "at 50"]);
  assert.equal(rig.cache.size, 1);
});

test("more than the room's history, or older, is for a read to judge", () => {
  const rig = new Rig();
  rig.read(0, 50);
  for (const sequence of [60, 70, 80]) rig.live(sequence);
  assert.deepEqual(rig.ask(0), [10, 20, 30, 40, 50, 60, 70, 80, "at 80"]);
  rig.live(90);
  assert.equal(rig.ask(0), undefined);
  const old = new Rig({ seconds: 5 });
  old.read(0, 50);
  old.nowMs += 5_000;
  assert.ok(old.ask(0) !== undefined);
  old.nowMs += 1;
  assert.equal(old.ask(0), undefined);
});

test("after a reset, in a new numbering, when the room was closed or after a while nothing of it counts", () => {
  const breaks: ((rig: Rig) => void)[] = [
    (rig) => rig.room.reset({ epoch: "e", offset: 50 }, "purged"),
    (rig) => Object.assign(rig.stream, { epoch: "other" }),
    (rig) => rig.room.close(),
    (rig) => {
      rig.nowMs += KEEP_MS + 1;
    },
  ];
  for (const [index, breakIt] of breaks.entries()) {
    const rig = new Rig();
    rig.read(20, 50);
    assert.ok(rig.ask(20) !== undefined);
    breakIt(rig);
    assert.equal(rig.ask(20), undefined, `break ${index}`);
    rig.cache.sweep();
    assert.equal(rig.cache.size, 0);
    assert.equal(rig.cache.bytes, 0);
  }
});

test("what was read before a reset is not kept after it", () => {
  const rig = new Rig();
  const mark = markOf(rig.room);
  rig.room.reset({ epoch: "e", offset: 50 }, "purged");
  rig.cache.put(mark, { from: 20, messages: [], more: false, upTo: 50, head: { epoch: "e", offset: 50 } });
  assert.equal(rig.cache.size, 0);
});

test("it holds no more bytes than it may", () => {
  const rig = new Rig({ bytes: 1_000 });
  rig.read(0, 50);
  assert.equal(rig.ask(0), undefined);
  assert.equal(rig.cache.bytes, 0);
});
