import assert from "node:assert/strict";
import { test } from "node:test";
import type { HistoryFrom, HistoryPage } from "../../core/ports.js";
import { CodedError } from "../../protocol/errors.js";
import { createMessage } from "../../protocol/message.js";
import { parseRoom, type RoomName } from "../../protocol/room-name.js";
import { LinkReads } from "./link-reads.js";

const ROOM = parseRoom("a.b");
const OTHER = parseRoom("a.c");

/** A hub of rooms with messages 1 to `stored`, of which those up to `gone` are gone; answers when it is told to. */
class Hub {
  readonly asked: string[] = [];
  readonly reads = new LinkReads((room, from, limit) => this.#read(room, from, limit));
  stored = 20;
  gone = 0;
  #held: (() => void)[] | undefined;
  failure: CodedError | undefined;

  hold(): void {
    this.#held = [];
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const go of held) go();
  }

  async page(from: number | HistoryFrom, limit = 100, room: RoomName = ROOM): Promise<unknown> {
    const wanted = typeof from === "number" ? { after: { epoch: "e", offset: from } } : from;
    const page = await this.reads.page(room, wanted, limit, 1_000);
    if (page.kind === "lost") return page.reason;
    const offsets = page.messages.map(({ offset }) => offset);
    return page.more ? [...offsets, "more"] : offsets;
  }

  async #read(room: RoomName, from: HistoryFrom, limit: number): Promise<HistoryPage> {
    this.asked.push(`${room} ${JSON.stringify(from)} ${limit}`);
    const head = { epoch: "e", offset: this.stored };
    const all = Array.from({ length: this.stored }, (_, index) =>
      createMessage({ room, offset: index + 1, prev: index, time: 1, data: Uint8Array.of(1) }),
    );
    await new Promise<void>((resolve) => (this.#held === undefined ? resolve() : this.#held.push(resolve)));
    if (this.failure !== undefined) throw this.failure;
    if (from === "oldest") return { kind: "page", messages: all, more: false, head };
    const start = "last" in from ? this.stored - from.last : from.after.offset;
    if ("after" in from && start < this.gone) return { kind: "lost", reason: "expired", head };
    const messages = all.slice(start, start + limit);
    return { kind: "page", messages, more: start + limit < this.stored, head };
  }
}

test("however many ask for one room, one read goes to the hub, and each gets his part", async () => {
  const hub = new Hub();
  const asked = Array.from({ length: 20 }, (_, index) => index);
  const pages = await Promise.all([
    ...asked.map((after) => hub.page(after)),
    hub.page(4, 3),
    hub.page(18, 100, OTHER),
  ]);
  for (const after of asked) assert.deepEqual(pages[after], all(after + 1, 20), `after ${after}`);
  assert.deepEqual(pages.slice(20), [
    [5, 6, 7, "more"],
    [19, 20],
  ]);
  assert.equal(hub.asked.length, 2);
  assert.equal(hub.reads.size, 0);
});

test("who asks while a read is under way gets one that began afterwards", async () => {
  const hub = new Hub();
  hub.hold();
  const first = hub.page(10);
  await turn();
  hub.stored = 21;
  const later = [hub.page(12), hub.page(15)];
  await turn();
  assert.equal(hub.asked.length, 1);
  hub.release();
  assert.deepEqual(await first, all(11, 20));
  assert.deepEqual(await Promise.all(later), [all(13, 21), all(16, 21)]);
  assert.equal(hub.asked.length, 2);
});

test("lost positions are told, the others served, by some few reads", async () => {
  const hub = new Hub();
  hub.gone = 13;
  const asked = Array.from({ length: 20 }, (_, index) => index);
  const pages = await Promise.all(asked.map((after) => hub.page(after)));
  for (const after of asked) assert.deepEqual(pages[after], after < 13 ? "expired" : all(after + 1, 20));
  assert.ok(hub.asked.length <= 6, `${hub.asked.length} reads`);
});

test("the last messages are read once, of the most that is asked for; the oldest by themselves", async () => {
  const hub = new Hub();
  const pages = await Promise.all([hub.page({ last: 2 }), hub.page({ last: 3 }), hub.page("oldest")]);
  assert.deepEqual(pages, [all(19, 20), all(18, 20), all(1, 20)]);
  assert.equal(hub.asked.length, 2);
});

test("epochs are read apart", async () => {
  const hub = new Hub();
  const other = { after: { epoch: "x", offset: 3 } };
  await Promise.all([hub.page(1), hub.page(other)]);
  assert.equal(hub.asked.length, 2);
});

test("a failed read fails all who waited for it; so does a lost link, and time", async () => {
  const hub = new Hub();
  hub.failure = new CodedError("unavailable", "away", 1);
  await Promise.all([1, 2].map((after) => assert.rejects(hub.page(after), /away/)));
  hub.failure = undefined;
  hub.hold();
  const pages = [1, 2].map((after) => assert.rejects(hub.page(after), /the hub is away/));
  await turn();
  hub.reads.down(new CodedError("unavailable", "the hub is away", 1));
  await Promise.all(pages);
  const late = assert.rejects(hub.page(1), /late/);
  hub.reads.expire(1_000, new CodedError("timeout", "late"));
  await late;
  hub.release();
  await turn();
  assert.equal(hub.reads.size, 0);
});

function all(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
}
