import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { parseRoom } from "../../protocol/room-name.js";
import { Books } from "./books.testkit.js";
import { NatsAdmin } from "./nats-admin.testkit.js";
import type { NatsBroker } from "./nats-broker.js";
import { freshPrefix, startTestBroker } from "./nats-broker.testkit.js";
import { NatsServer, pause, until } from "./nats-server.testkit.js";
import type { NatsBrokerOptions } from "./start.js";

const ROOMS = ["log.a", "log.b", "log.c", "keyed.a", "keyed.b"].map(parseRoom);

/** Two nodes and one server, publishes through both, books of everything. */
describe("with one server, nothing is missing, doubled or out of order where", () => {
  test("it is killed and comes back, twice", async (t) => {
    const rig = await start(t);
    for (let turn = 0; turn < 2; turn += 1) {
      await rig.books.publishedMore(300);
      await rig.server.kill();
      await until("both nodes to notice", () => rig.nodes.every((node) => !node.available));
      await rig.server.start();
      await until("both nodes to be back", () => rig.nodes.every((node) => node.available));
    }
    await rig.books.publishedMore(300);
    await finish(t, rig);
  });

  test("it stands still for longer than the connections wait", async (t) => {
    const rig = await start(t);
    await rig.books.publishedMore(300);
    rig.server.pause();
    await until("both nodes to notice", () => rig.nodes.every((node) => !node.available));
    rig.server.resume();
    await rig.books.publishedMore(300);
    await finish(t, rig);
  });

  test("an older store is put back: numbers are given out again, and everybody is told", async (t) => {
    const rig = await start(t);
    await rig.books.publishedMore(300);
    await rig.books.silence();
    await rig.server.stop();
    const restore = await rig.server.saveStore();
    await rig.server.start();
    rig.publish();
    await rig.books.publishedMore(300);
    await rig.books.silence();
    await rig.books.balance();
    const before = rig.books.readers.map(({ start }) => start?.epoch);
    await rig.server.stop();
    await restore();
    await rig.server.start();
    rig.publish();
    await rig.books.publishedMore(1_000);
    await rig.books.silence();
    await until("every reader to be told", () =>
      rig.books.readers.every(({ resets }) => resets.includes("epoch")),
    );
    for (const [index, { ledger }] of rig.books.readers.entries()) {
      const pages = await Promise.all(rig.nodes.map((node) => node.history(ledger.room, "oldest", 1)));
      const epochs = new Set(pages.map(({ head }) => head.epoch));
      assert.equal(epochs.size, 1, "all nodes have the same epoch");
      assert.ok(!epochs.has(before[index] ?? ""));
    }
    t.diagnostic(rig.books.summary());
  });
});

interface Rig {
  readonly server: NatsServer;
  readonly admin: NatsAdmin;
  readonly nodes: readonly NatsBroker[];
  readonly prefix: string;
  readonly books: Books;
  /** Lets both nodes publish. */
  publish(): void;
}

async function start(t: TestContext, options: Partial<NatsBrokerOptions> = {}): Promise<Rig> {
  const server = await NatsServer.start();
  t.after(() => server.dispose());
  const admin = await NatsAdmin.connect(server.url);
  t.after(() => admin.close());
  const prefix = freshPrefix();
  const nodes: NatsBroker[] = [];
  for (let index = 0; index < 2; index += 1) {
    const node = await startTestBroker(server.url, { prefix, partitions: 1, ...options });
    t.after(() => node.stop(1_000));
    nodes.push(node);
  }
  const books = new Books(ROOMS);
  for (const [index, node] of nodes.entries()) await books.follow(`node ${index}`, node);
  const publish = (): void => {
    for (const node of nodes) books.publish(node, 4, 2);
  };
  publish();
  return { server, admin, nodes, prefix, books, publish };
}

async function finish(t: TestContext, { books }: Rig): Promise<void> {
  await pause(0);
  await books.silence();
  await books.balance();
  t.diagnostic(books.summary());
}
