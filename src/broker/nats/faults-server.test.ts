import { after, before, describe, test } from "node:test";
import { FaultRig } from "./fault-rig.testkit.js";
import { NatsServer, until } from "./nats-server.testkit.js";

let server: NatsServer;

before(async () => {
  server = await NatsServer.start();
});

after(() => server.dispose());

/** Two nodes and one server, publishes through both, books of everything. */
describe("with one server, nothing is missing, doubled or out of order where", () => {
  test("it is killed and comes back, twice within a sweep", async (t) => {
    const rig = await FaultRig.start(t, server);
    rig.publish();
    for (let turn = 0; turn < 2; turn += 1) {
      await rig.books.publishedMore(100);
      rig.whisper();
      await server.kill();
      await until("both nodes to notice", () => rig.nodes.every((node) => !node.available));
      await server.start();
      await rig.allAvailable();
    }
    rig.whisper();
    await rig.books.publishedMore(100);
    await rig.finish(t);
  });

  test("it is restarted in an orderly way", async (t) => {
    const rig = await FaultRig.start(t, server);
    rig.publish();
    await rig.books.publishedMore(100);
    rig.whisper();
    await server.restart();
    await rig.allAvailable();
    await rig.books.publishedMore(100);
    await rig.finish(t);
  });

  test("it stands still for longer than the connections wait", async (t) => {
    const rig = await FaultRig.start(t, server);
    rig.publish();
    await rig.books.publishedMore(100);
    rig.whisper();
    server.pause();
    t.after(() => server.resume());
    await until("both nodes to notice", () => rig.nodes.every((node) => !node.available));
    server.resume();
    await rig.allAvailable();
    await rig.books.publishedMore(100);
    await rig.finish(t);
  });

  test("it stands still and goes on before anybody notices", async (t) => {
    const rig = await FaultRig.start(t, server);
    rig.publish();
    for (let turn = 0; turn < 2; turn += 1) {
      await rig.books.publishedMore(100);
      const { retriedPublishes } = rig.nodes[0]?.counters ?? { retriedPublishes: 0 };
      rig.whisper();
      server.pause();
      await until(
        "publishes to be sent again",
        () => (rig.nodes[0]?.counters.retriedPublishes ?? 0) > retriedPublishes,
      );
      server.resume();
    }
    await rig.books.publishedMore(100);
    await rig.finish(t);
  });
});
