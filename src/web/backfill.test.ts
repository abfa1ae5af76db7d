import assert from "node:assert/strict";
import { test } from "node:test";
import type { Client, HistoryPage, Message, Position } from "../client/index.js";
import { readBack } from "./backfill.js";

interface Store {
  readonly first: number;
  readonly head: number;
  /** Messages in one answer at the most. */
  readonly page: number;
}

/** A history of messages first…head that answers as a server does: a part at a time, `lost` before its first. */
function clientOf({ first, head, page }: Store) {
  const requests: number[] = [];
  const history: unknown = async (
    _room: string,
    options: { after: Position; limit: number },
  ): Promise<HistoryPage> => {
    requests.push(options.after.offset);
    const lost = options.after.offset < first - 1;
    const from = Math.max(first, options.after.offset + 1);
    const count = Math.max(0, Math.min(options.limit, page, head - from + 1));
    const messages = Array.from({ length: count }, (_, index) => messageOf(from + index));
    const more = from + count <= head;
    return { messages, more, position: messages.at(-1), lost: lost ? "expired" : undefined };
  };
  return { client: { history } as Pick<Client, "history">, requests };
}

function messageOf(offset: number): Message {
  return {
    room: "r",
    epoch: "e",
    offset,
    prev: 0,
    data: offset,
    key: "k",
    time: 0,
    replayed: true,
    reset: undefined,
  };
}

async function read(store: Store, wanted: (seen: number) => boolean = () => true): Promise<number[]> {
  const seen: number[] = [];
  const head = { epoch: "e", offset: store.head };
  const { client } = clientOf(store);
  await readBack(
    client,
    "r",
    head,
    (message) => seen.push(message.offset),
    () => wanted(seen.length),
  );
  return seen;
}

function downFrom(head: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => head - index);
}

test("every message comes once, newest first, also where an answer holds less than was asked for", async () => {
  for (const page of [1_000, 200, 77, 1]) {
    assert.deepEqual(await read({ first: 1, head: 730, page }), downFrom(730, 730), `${page} an answer`);
  }
});

test("it stops where the kept past ends", async () => {
  const seen = await read({ first: 501, head: 1_500, page: 90 });
  assert.deepEqual(seen.slice(0, 900), downFrom(1_500, 900));
  assert.equal(seen.at(-1), 501);
});

test("it is bounded", async () => {
  const seen = await read({ first: 1, head: 100_000, page: 1_000 });
  assert.deepEqual(seen, downFrom(100_000, 20_000));
});

test("it stops as soon as the past is wanted no more", async () => {
  const seen = await read({ first: 1, head: 5_000, page: 1_000 }, (count) => count < 400);
  assert.equal(seen.length, 400);
});
