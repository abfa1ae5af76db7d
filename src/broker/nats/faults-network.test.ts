import assert from "node:assert/strict";
import { after, before, describe, type TestContext, test } from "node:test";
import { FaultRig, type RigOptions } from "./fault-rig.testkit.js";
import { NatsServer, until } from "./nats-server.testkit.js";

let server: NatsServer;

before(async () => {
  server = await NatsServer.start();
});

after(() => server.dispose());

/** Two nodes on one server; the way of one of them is troubled while both publish. At once, as each waits most of its time. */
describe("nothing is missing, doubled or out of order where a node's way to NATS", { concurrency: 3 }, () => {
  test("is closed for a while", async (t) => {
    const rig = await publishing(t);
    rig.way(1, "closed");
    await until("the node to notice", () => rig.nodes[1]?.available === false);
    rig.whisper();
    await rig.books.publishedMore(100);
    rig.way(1, "open");
    await rig.noticed(1);
    await rig.finish(t);
  });

  test("is closed again and again, before it has caught up", async (t) => {
    const rig = await publishing(t);
    for (let turn = 1; turn <= 3; turn += 1) {
      rig.way(1, "closed");
      rig.whisper();
      await rig.books.publishedMore(50);
      rig.way(1, "open");
      await rig.noticed(1, turn);
    }
    await rig.finish(t);
  });

  test("loses all packets for less than it takes to notice", async (t) => {
    const rig = await publishing(t);
    for (let turn = 0; turn < 2; turn += 1) {
      rig.way(1, "silent");
      rig.whisper();
      await rig.books.publishedMore(100);
      rig.way(1, "open");
      await rig.books.publishedMore(50);
    }
    assert.equal(rig.nodes[1]?.counters.disconnects, 0);
    await rig.finish(t);
  });

  test("loses all packets until the node gives its connection up, which then delivers what it still had", async (t) => {
    const rig = await publishing(t);
    rig.way(1, "silent");
    rig.whisper();
    await until("the node to notice", () => rig.nodes[1]?.available === false);
    rig.whisper();
    await rig.books.publishedMore(100);
    rig.way(1, "open");
    await rig.noticed(1);
    await rig.books.publishedMore(100);
    await rig.finish(t);
  });

  test("loses every third live message, and at last all of them, without any connection breaking", async (t) => {
    const rig = await publishing(t, { broker: { limits: { sweepMs: 1_000, graceMs: 100 } } });
    const isLive = (subject: string): boolean => subject.startsWith(`${rig.prefix}.live`);
    let count = 0;
    const lose = (which: (subject: string) => boolean): void => {
      for (const way of rig.ways[1] ?? []) way.lose(which);
    };
    lose((subject) => {
      if (isLive(subject)) count += 1;
      return isLive(subject) && count % 3 === 0;
    });
    for (let turn = 0; turn < 2; turn += 1) {
      rig.whisper();
      await rig.books.publishedMore(100);
    }
    lose(isLive);
    rig.whisper();
    await rig.books.publishedMore(100);
    await rig.books.silence();
    await rig.finish(t);
    const { holes, sweptHoles, disconnects } = rig.nodes[1]?.counters ?? {};
    assert.ok((holes ?? 0) > 0 && (sweptHoles ?? 0) > 0, "holes were found by messages and by sweeps");
    assert.equal(disconnects, 0);
  });

  async function publishing(t: TestContext, options: RigOptions = {}): Promise<FaultRig> {
    const rig = await FaultRig.start(t, server, options);
    rig.publish();
    await rig.books.publishedMore(100);
    return rig;
  }
});
