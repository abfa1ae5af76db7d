import assert from "node:assert/strict";
import { test } from "node:test";
import type { HistoryPage } from "../core/ports.js";
import { createMessage, type Message } from "../protocol/message.js";
import { parseRoom } from "../protocol/room-name.js";
import { LastAsks } from "./last-asks.js";
import { type FoundPage, RoomAsks } from "./room-asks.js";

const ROOM = parseRoom("a.b");
const HEAD = { epoch: "e", offset: 60 };

/** Messages 10, 20, … up to an offset. */
function messages(first: number, last: number): Message[] {
  const all: Message[] = [];
  for (let offset = first; offset <= last; offset += 10)
    all.push(createMessage({ room: ROOM, offset, prev: offset - 10, time: 1, data: Uint8Array.of(1) }));
  return all;
}

/** Asks at positions, and the offsets that each was answered with. */
class Rig {
  readonly asks = new RoomAsks();
  readonly answers = new Map<string, unknown>();

  ask(after: number, { limit = 100, version = 1, dueMs = 1_000 } = {}): void {
    const key = limit === 100 ? `${after}` : `${after}/${limit}`;
    this.asks.add({
      after,
      limit,
      version,
      dueMs,
      resolve: (page) => this.answers.set(key, told(page)),
      reject: (cause) => this.answers.set(key, cause),
    });
  }

  told(): unknown {
    return Object.fromEntries(this.answers);
  }
}

function told(page: HistoryPage): unknown {
  if (page.kind === "lost") return page.reason;
  const offsets = page.messages.map(({ offset }) => offset);
  return page.more ? [...offsets, "more"] : offsets;
}

test("one page from the lowest position serves all later ones, each with its own part", () => {
  const rig = new Rig();
  for (const after of [40, 10, 35, 60]) rig.ask(after);
  rig.ask(10, { limit: 2 });
  assert.equal(rig.asks.start, 10);
  assert.equal(rig.asks.limit, 100);
  const found: FoundPage = { from: 10, messages: messages(20, 60), more: false, upTo: 60, head: HEAD };
  assert.equal(rig.asks.serve(found, 1), 5);
  assert.deepEqual(rig.told(), {
    10: [20, 30, 40, 50, 60],
    "10/2": [20, 30, "more"],
    35: [40, 50, 60],
    40: [50, 60],
    60: [],
  });
  assert.equal(rig.asks.size, 0);
});

test("a page that goes on serves only those for whom it has something, and says that there is more", () => {
  const rig = new Rig();
  for (const after of [10, 20, 30, 40]) rig.ask(after);
  rig.asks.serve({ from: 10, messages: messages(20, 30), more: true, upTo: 30, head: HEAD }, 1);
  assert.deepEqual(rig.told(), { 10: [20, 30, "more"], 20: [30, "more"] });
  assert.equal(rig.asks.start, 30);
});

test("who asked for less than the page has, or after something was acknowledged, is not served", () => {
  const rig = new Rig();
  rig.ask(20);
  rig.ask(5);
  rig.ask(30, { version: 2 });
  rig.asks.serve({ from: 10, messages: messages(20, 60), more: false, upTo: 60, head: HEAD }, 1);
  assert.deepEqual(rig.told(), { 20: [30, 40, 50, 60] });
  assert.deepEqual(rig.asks.positions, [5, 30]);
});

test("a lost position loses all below it, and the next reads halve what is left", () => {
  const rig = new Rig();
  for (let after = 0; after < 100; after += 1) rig.ask(after);
  // Whatever is below 77 is gone.
  let reads = 0;
  for (; rig.asks.size > 0; reads += 1) {
    const { start } = rig.asks;
    if (start < 77) rig.asks.lose(start, "expired", HEAD);
    else
      rig.asks.serve(
        {
          from: start,
          messages: messages(101, 101),
          more: false,
          upTo: 101,
          head: { epoch: "e", offset: 101 },
        },
        1,
      );
  }
  assert.ok(reads <= 9, `${reads} reads`);
  for (let after = 0; after < 100; after += 1)
    assert.deepEqual(rig.answers.get(`${after}`), after < 77 ? "expired" : [101], `${after}`);
});

test("a position that was never reached loses only those above it", () => {
  const rig = new Rig();
  for (const after of [10, 80, 90]) rig.ask(after);
  rig.asks.lose(80, "epoch", HEAD);
  assert.deepEqual(rig.told(), { 80: "epoch", 90: "epoch" });
  assert.equal(rig.asks.start, 10);
});

test("those whose time is over are given up, the others still wait", () => {
  const rig = new Rig();
  rig.ask(10, { dueMs: 5 });
  rig.ask(20, { dueMs: 6 });
  const cause = new Error("late");
  assert.equal(rig.asks.expire(5, cause), 1);
  assert.deepEqual(rig.told(), { 10: cause });
  rig.asks.fail(cause);
  assert.deepEqual(rig.told(), { 10: cause, 20: cause });
});

test("the last messages are read once, of the most that anybody wants", () => {
  const asks = new LastAsks();
  const answers = new Map<string, unknown>();
  const ask = (last: number, limit: number, version = 1): void => {
    const key = `${last}/${limit}`;
    const resolve = (page: HistoryPage): unknown => answers.set(key, told(page));
    asks.add({ last, limit, version, dueMs: 1, resolve, reject: (cause) => answers.set(key, cause) });
  };
  ask(2, 10);
  ask(4, 10);
  ask(4, 1);
  ask(3, 2);
  ask(1, 10, 2);
  assert.deepEqual(asks.wanted, { last: 4, limit: 10 });
  const found: FoundPage = { from: 20, messages: messages(30, 60), more: false, upTo: 60, head: HEAD };
  assert.equal(asks.serve(found, 4, 1), 4);
  assert.deepEqual(Object.fromEntries(answers), {
    "2/10": [50, 60],
    "4/10": [30, 40, 50, 60],
    "4/1": [30, "more"],
    "3/2": [40, 50, "more"],
  });
  // One that was cut short is of no use for those who want fewer.
  ask(4, 10);
  asks.serve({ from: 20, messages: messages(30, 40), more: true, upTo: 40, head: HEAD }, 4, 2);
  assert.deepEqual(answers.get("4/10"), [30, 40, "more"]);
  assert.equal(answers.has("1/10"), false);
  assert.equal(asks.size, 1);
});
