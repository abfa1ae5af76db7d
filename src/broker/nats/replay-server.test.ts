import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { encode } from "@msgpack/msgpack";
import type { HistoryPage } from "../../core/ports.js";
import { CodedError } from "../../protocol/errors.js";
import type { Position } from "../../protocol/frames.js";
import type { Message } from "../../protocol/message.js";
import { parseRoom, type RoomName } from "../../protocol/room-name.js";
import { assertChain, at, Collector, HISTORY_MESSAGES, offsetsOf } from "../conformance-rig.testkit.js";
import type { NatsBroker } from "./nats-broker.js";
import { freshPrefix, startTestBroker } from "./nats-broker.testkit.js";
import { until } from "./nats-server.testkit.js";
import { serverOfFile } from "./server-of-file.testkit.js";
import type { NatsBrokerOptions } from "./start.js";

const DEADLINE_MS = 60_000;
const ROOMS = 100;
const MESSAGES = 8;

const system = serverOfFile();

/** Two nodes: one that published to all rooms, and one that knows nothing yet. Consumers made since are counted. */
class Storm {
  readonly rooms: readonly RoomName[];
  readonly writer: NatsBroker;
  readonly node: NatsBroker;
  readonly positions = new Map<RoomName, Position[]>();
  readonly #prefix: string;
  readonly #consumers = new Set<string>();
  #markers = 0;

  private constructor(prefix: string, namespace: string, writer: NatsBroker, node: NatsBroker) {
    this.#prefix = prefix;
    this.writer = writer;
    this.node = node;
    this.rooms = Array.from({ length: ROOMS }, (_, index) => parseRoom(`${namespace}.r${index}`));
  }

  static async start(
    t: TestContext,
    namespace: string,
    options: Partial<NatsBrokerOptions> = {},
  ): Promise<Storm> {
    const prefix = freshPrefix();
    const writer = await startTestBroker(system.server.url, { prefix });
    t.after(() => writer.stop(1_000));
    const node = await startTestBroker(system.server.url, { prefix, ...options });
    t.after(() => node.stop(1_000));
    const storm = new Storm(prefix, namespace, writer, node);
    for (let round = 0; round < MESSAGES; round += 1) await storm.publishToAll(round);
    const created = system.admin.connection.subscribe("$JS.EVENT.ADVISORY.CONSUMER.CREATED.>", {
      callback: (_, message) => storm.#created(message.json<{ stream: string; consumer: string }>()),
    });
    t.after(() => created.unsubscribe());
    await system.admin.connection.flush();
    return storm;
  }

  async publishToAll(value: number): Promise<void> {
    await Promise.all(
      this.rooms.map(async (room) => {
        const position = await this.writer.publish({ room, data: encode(value), key: `k${value % 3}` });
        this.positions.set(room, [...(this.positions.get(room) ?? []), position]);
      }),
    );
  }

  async openAll(): Promise<Collector[]> {
    return await Promise.all(
      this.rooms.map(async (room) => {
        const sink = new Collector(DEADLINE_MS);
        await this.node.open(room, sink);
        return sink;
      }),
    );
  }

  /** Consumers made on the server since the start of the storm, by its own account. */
  async consumers(): Promise<number> {
    // The server tells of consumers in the order in which they were made, some time later: of this one at last.
    const stream = `${this.#prefix.toUpperCase()}_0`;
    this.#markers += 1;
    const name = `marker${this.#markers}`;
    await system.admin.insist(`CONSUMER.CREATE.${stream}.${name}`, {
      stream_name: stream,
      config: { name, ack_policy: "none", inactive_threshold: 60_000_000_000 },
    });
    await until("the server to tell of all consumers", () => this.#consumers.has(name));
    return this.#consumers.size - this.#markers;
  }

  offsets(room: RoomName): readonly number[] {
    return offsetsOf(this.positions.get(room) ?? []);
  }

  epoch(room: RoomName): string {
    return at(this.positions.get(room) ?? [], 0).epoch;
  }

  #created({ stream, consumer }: { readonly stream: string; readonly consumer: string }): void {
    if (stream.startsWith(`${this.#prefix.toUpperCase()}_`)) this.#consumers.add(consumer);
  }
}

/** The page after a position, checked against what was published. */
async function checkAfter(storm: Storm, room: RoomName, offset: number): Promise<void> {
  const page = await storm.node.history(room, { after: { epoch: storm.epoch(room), offset } }, 1_000);
  const expected = storm.offsets(room).filter((known) => known > offset);
  assertPage(page, expected, offset);
}

function assertPage(page: HistoryPage, expected: readonly number[], before: number): void {
  assert.ok(page.kind === "page", JSON.stringify(page));
  assert.deepEqual(offsetsOf(page.messages), expected);
  assert.equal(page.more, false);
  const [first] = page.messages;
  assert.ok(first === undefined || first.prev <= before);
  for (const [index, message] of page.messages.entries())
    if (index > 0) assert.equal(message.prev, (page.messages[index - 1] as Message).offset);
}

/** Positions that nobody else has: those of messages, and others between them. */
function somePositions(storm: Storm, room: RoomName, count: number): number[] {
  const offsets = storm.offsets(room);
  const [first = 0, last = 0] = [offsets[0], offsets.at(-1)];
  const step = Math.max(1, Math.floor((last - first) / count));
  const found: number[] = [];
  for (let offset = first; found.length < count && offset < last; offset += step) found.push(offset);
  return found;
}

describe("a storm of resumes", () => {
  for (const namespace of ["log", "keyed"])
    test(`at thousands of positions makes some few consumers, never one a client or room (${namespace})`, {
      timeout: 120_000,
    }, async (t) => {
      const storm = await Storm.start(t, namespace);
      const sinks = await storm.openAll();
      const asks = storm.rooms.flatMap((room) =>
        somePositions(storm, room, 40).map((offset) => ({ room, offset })),
      );
      assert.ok(asks.length >= 3_000, `${asks.length} positions`);
      await Promise.all(asks.map(({ room, offset }) => checkAfter(storm, room, offset)));
      const made = await storm.consumers();
      assert.ok(made > 0 && made <= 2 * PARTITIONS, `${made} consumers for ${asks.length} positions`);
      const { counters } = storm.node;
      assert.equal(counters.passes, made);
      assert.ok(counters.passRooms >= ROOMS);

      // Those who come later, one by one, meet with what was read for the others and what came live since.
      await storm.publishToAll(100);
      await Promise.all(sinks.map((sink) => sink.until(1)));
      for (const { room, offset } of asks.filter((_, index) => index % 7 === 0))
        await checkAfter(storm, room, offset);
      assert.equal(await storm.consumers(), made);
    });

  test("goes on being served while messages are published, each page whole to its end", {
    timeout: 120_000,
  }, async (t) => {
    const storm = await Storm.start(t, "log");
    await storm.openAll();
    const publisher = (async () => {
      for (let value = 0; value < ROOMS; value += 1)
        await storm.writer.publish({ room: at(storm.rooms, value % ROOMS), data: encode(value) });
    })();
    const asks = storm.rooms.flatMap((room) =>
      somePositions(storm, room, 10).map((offset) => ({ room, offset })),
    );
    const pages = await Promise.all(
      asks.map(async ({ room, offset }) => {
        const after = { epoch: storm.epoch(room), offset };
        return { room, after, page: await storm.node.history(room, { after }, 1_000) };
      }),
    );
    await publisher;
    for (const { room, after, page } of pages) {
      assert.ok(page.kind === "page");
      const known = storm.offsets(room).filter((offset) => offset > after.offset);
      assert.deepEqual(offsetsOf(page.messages).slice(0, known.length), known);
      const [first] = page.messages;
      assertChain(page.messages, first?.prev ?? 0);
      assert.equal(page.head.offset, page.messages.at(-1)?.offset);
    }
  });

  test("tells each position that is gone, and no other", { timeout: 120_000 }, async (t) => {
    const storm = await Storm.start(t, "log");
    for (let round = 0; round < HISTORY_MESSAGES; round += 1) await storm.publishToAll(round);
    await storm.openAll();
    const made = await storm.consumers();
    await Promise.all(
      storm.rooms.flatMap((room) => {
        const all = storm.positions.get(room) ?? [];
        return all.map(async (position, index) => {
          const page = await storm.node.history(room, { after: position }, 1_000);
          const rest = offsetsOf(all.slice(index + 1));
          if (rest.length <= HISTORY_MESSAGES) assertPage(page, rest, position.offset);
          else assert.deepEqual([page.kind, page.kind === "lost" && page.reason], ["lost", "expired"]);
        });
      }),
    );
    const more = (await storm.consumers()) - made;
    assert.ok(more <= 3 * PARTITIONS, `${more} consumers`);
  });

  test("tells positions of another epoch, and those never reached", { timeout: 120_000 }, async (t) => {
    const storm = await Storm.start(t, "log");
    await storm.openAll();
    await Promise.all(
      storm.rooms.flatMap((room) =>
        [
          { epoch: "another", offset: 3 },
          { epoch: storm.epoch(room), offset: 1_000_000 },
        ].map(async (after) => {
          const page = await storm.node.history(room, { after }, 1_000);
          assert.ok(page.kind === "lost" && page.reason === "epoch");
          assert.equal(page.head.offset, storm.offsets(room).at(-1));
        }),
      ),
    );
    assert.ok((await storm.consumers()) <= 2 * PARTITIONS);
  });

  test("at large rooms holds no more than a pass may, and each is read page by page then", {
    timeout: 120_000,
  }, async (t) => {
    const storm = await Storm.start(t, "log", { limits: { passBytes: 20_000 } });
    await storm.openAll();
    await Promise.all(storm.rooms.map((room) => checkAfter(storm, room, at(storm.offsets(room), 0))));
    const { reads, passes } = storm.node.counters;
    assert.ok(passes > 0 && reads > passes, `${reads} reads, ${passes} of them passes`);
  });

  test("is given up in time where NATS stands still, and served when it is back", {
    timeout: 120_000,
  }, async (t) => {
    const storm = await Storm.start(t, "log", { limits: { readMs: 1_000 } });
    await storm.openAll();
    system.server.pause();
    const asked = storm.rooms.map((room) =>
      storm.node.history(room, { after: { epoch: storm.epoch(room), offset: 1 } }, 10),
    );
    const settled = await Promise.allSettled(asked);
    system.server.resume();
    for (const outcome of settled) {
      // The first answers may have been on their way.
      if (outcome.status === "fulfilled") continue;
      assert.ok(outcome.reason instanceof CodedError);
      assert.match(outcome.reason.code, /^(unavailable|timeout)$/);
    }
    await until("reads to work again", async () => {
      try {
        await checkAfter(storm, at(storm.rooms, 0), at(storm.offsets(at(storm.rooms, 0)), 2));
        return true;
      } catch (cause) {
        if (cause instanceof CodedError) return false;
        throw cause;
      }
    });
  });
});

test("a storm for the last messages, or for the state, reads a room once at the most", {
  timeout: 120_000,
}, async (t) => {
  const storm = await Storm.start(t, "keyed");
  await storm.openAll();
  const before = storm.node.counters.reads;
  await Promise.all(
    storm.rooms.flatMap((room) =>
      Array.from({ length: 20 }, async () => {
        const { messages, head } = await storm.node.state(room);
        const offsets = storm.offsets(room);
        assert.deepEqual(offsetsOf(messages), offsets.slice(-3));
        assert.equal(head.offset, offsets.at(-1));
        assert.equal(new Set(messages.map(({ key }) => key)).size, 3);
      }),
    ),
  );
  const states = await storm.consumers();
  assert.ok(states <= 2 * PARTITIONS, `${states} consumers for the state of ${ROOMS} rooms`);
  await Promise.all(
    storm.rooms.flatMap((room) =>
      [1, 2, 3, 4, 5].map(async (last) => {
        const page = await storm.node.history(room, { last }, last);
        const offsets = storm.offsets(room).slice(-last);
        assertPage(page, offsets, (offsets[0] ?? 0) - 1);
      }),
    ),
  );
  const reads = storm.node.counters.reads - before;
  assert.ok(reads <= 2 * PARTITIONS + ROOMS, `${reads} reads`);
});

const PARTITIONS = 2;
