import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { decode, encode } from "@msgpack/msgpack";
import { Publisher, startStream } from "./publisher.js";

interface Item {
  readonly room: string;
  readonly data: Buffer;
  readonly id?: string;
}

/** Answers each batch with what the test says: offsets, a status, or nothing but a reset. */
async function serving(
  answer: (batch: Item[], request: number) => number[] | number | undefined,
  run: (port: number, batches: Item[][]) => Promise<void>,
): Promise<void> {
  const batches: Item[][] = [];
  const server = http.createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      const batch = decode(Buffer.concat(parts)) as Item[];
      batches.push(batch);
      const said = answer(batch, batches.length);
      if (said === undefined) request.socket.resetAndDestroy();
      else if (typeof said === "number") response.writeHead(said).end(encode({ error: { code: "x" } }));
      else response.end(encode(said.map((offset) => ({ epoch: "e", offset }))));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    await run((server.address() as AddressInfo).port, batches);
  } finally {
    server.close();
  }
}

const dueOf = (item: Item | undefined): number => Buffer.from(item?.data ?? []).readDoubleBE(0);

test("a batch has its due time, and the room's head is the last offset", async () => {
  await serving(
    (batch) => batch.map((_, at) => 10 + at),
    async (port, batches) => {
      const publisher = new Publisher(3, { port, bytes: 64 });
      await publisher.publish({ room: 2, dueMicros: 123.5 }, 4);
      publisher.close();
      assert.deepEqual(publisher.heads, [null, null, 13]);
      const [first] = batches;
      assert.deepEqual([first?.length, first?.[0]?.room, first?.[0]?.id], [4, "bench.r00002", undefined]);
      assert.equal(dueOf(first?.[3]), 123.5);
    },
  );
});

test("without retry a refusal is an error", async () => {
  await serving(
    () => 503,
    async (port) => {
      const publisher = new Publisher(1, { port, bytes: 64 });
      await assert.rejects(publisher.publish({ room: 0, dueMicros: 0 }, 1), /503/);
      publisher.close();
    },
  );
});

test("with retry it is sent again under the same ids, without its time", async () => {
  const answers = [503, undefined, [7]];
  await serving(
    (_, request) => answers[request - 1],
    async (port, batches) => {
      const publisher = new Publisher(1, { port, bytes: 64, retry: true });
      await publisher.publish({ room: 0, dueMicros: 99 }, 1);
      publisher.close();
      assert.deepEqual([publisher.retries, publisher.heads], [2, [7]]);
      const ids = new Set(batches.map(([item]) => item?.id));
      assert.ok(ids.size === 1 && !ids.has(undefined));
      assert.deepEqual(
        batches.map(([item]) => dueOf(item)),
        [99, Number.NaN, Number.NaN],
      );
    },
  );
});

test("a stream goes round its rooms until it is stopped, and all of it is stored then", async () => {
  let stored = 0;
  await serving(
    () => {
      stored += 1;
      return [stored];
    },
    async (port, batches) => {
      const publisher = new Publisher(4, { port, bytes: 64, retry: true });
      const stream = startStream(publisher, { firstRoom: 1, rooms: 3, perSecond: 1_000 });
      while (batches.length < 6) await new Promise((resolve) => setImmediate(resolve));
      const count = await stream.stop();
      publisher.close();
      assert.equal(stored, count);
      const rooms = new Set(batches.map(([item]) => item?.room));
      assert.deepEqual([...rooms].sort(), ["bench.r00001", "bench.r00002", "bench.r00003"]);
      assert.equal(publisher.heads[0], null);
    },
  );
});
