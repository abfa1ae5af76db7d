import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { NatsAdmin } from "./nats-admin.testkit.js";
import { NatsCluster, NatsServer } from "./nats-server.testkit.js";

describe("the servers that tests run", () => {
  test("one server keeps what it has stored over a kill, and an older store can be put back", async (t) => {
    const server = await NatsServer.start();
    t.after(() => server.dispose());
    const admin = await NatsAdmin.connect(server.url);
    t.after(() => admin.close());
    await admin.api("STREAM.CREATE.S", stream(1));
    assert.equal(await admin.publish("s.a", "one"), 1);
    await server.stop();
    const restore = await server.saveStore();
    await server.start();
    assert.equal(await admin.publish("s.a", "two"), 2);
    await server.kill();
    await server.start();
    assert.equal((await admin.stream("S")).state.last_seq, 2);
    await server.stop();
    await restore();
    await server.start();
    assert.equal((await admin.stream("S")).state.last_seq, 1);
  });

  test("three servers replicate, change leaders, and go on without one of them", async (t) => {
    const cluster = await NatsCluster.start();
    t.after(() => cluster.dispose());
    const admin = await NatsAdmin.connect(cluster.urls);
    t.after(() => admin.close());
    await admin.insist("STREAM.CREATE.S", stream(3));
    await admin.publish("s.a", "one");
    await admin.caughtUp("S", 3);
    await admin.stepDown("S");
    const leader = cluster.server(await admin.leader("S"));
    await leader.kill();
    assert.equal(leader.running, false);
    assert.equal(await admin.publish("s.a", "two"), 2);
    await leader.start();
    await admin.caughtUp("S", 3);
  });
});

function stream(replicas: number): object {
  return { name: "S", subjects: ["s.*"], storage: "file", retention: "limits", num_replicas: replicas };
}
