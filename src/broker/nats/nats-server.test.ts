import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { NatsAdmin } from "./nats-admin.testkit.js";
import { freePorts, greets, NatsCluster, NatsServer } from "./nats-server.testkit.js";

const SCRIPT = fileURLToPath(new URL("../../../scripts/nats.sh", import.meta.url));

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

describe("scripts/nats.sh", () => {
  test("starts, says what runs, and stops one server", async (t) => {
    const run = await shell(t);
    const [port = 0] = await freePorts(1);
    assert.match((await run("status")).text, /nothing runs/);
    assert.match(
      (await run("start", String(port))).text,
      new RegExp(`FANWIRE_BROKER=nats://127.0.0.1:${port}$`),
    );
    assert.match((await run("start", String(port))).text, /runs already/);
    const { text, code } = await run("status");
    assert.equal(code, 0);
    assert.match(text, / pid \d+ /);
    const admin = await NatsAdmin.connect(`nats://127.0.0.1:${port}`);
    await admin.api("INFO");
    await admin.close();
    assert.match((await run("cluster", String(port))).text, /"nats.sh stop" first/);
    assert.match((await run("stop")).text, /stopped 1/);
    assert.equal(await greets(port), false);
    assert.equal((await run("status")).code, 1);
    assert.match((await run("stop")).text, /nothing ran/);
  });

  test("refuses what is no command and no port", async (t) => {
    const run = await shell(t);
    assert.equal((await run("strat")).code, 2);
    assert.match((await run("start", "70000")).text, /is no port/);
  });
});

function stream(replicas: number): object {
  return { name: "S", subjects: ["s.*"], storage: "file", retention: "limits", num_replicas: replicas };
}

async function shell(
  t: TestContext,
): Promise<(...args: string[]) => Promise<{ text: string; code: number }>> {
  const dir = await mkdtemp(join(tmpdir(), "fanwire-nats-sh-"));
  const env = { ...process.env, FANWIRE_NATS_DIR: join(dir, "servers") };
  const run = (...args: string[]): Promise<{ text: string; code: number }> =>
    new Promise((resolve) => {
      execFile(SCRIPT, args, { env }, (error, stdout, stderr) => {
        const code = error === null ? 0 : Number(error.code);
        resolve({ text: `${stdout}${stderr}`.trim(), code });
      });
    });
  t.after(async () => {
    await run("stop");
    await rm(dir, { recursive: true, force: true });
  });
  return run;
}
