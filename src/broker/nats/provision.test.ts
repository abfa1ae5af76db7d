import assert from "node:assert/strict";
import { createServer } from "node:net";
import { describe, type TestContext, test } from "node:test";
import { DEFAULT_ROOM_SETTINGS } from "../../core/settings.js";
import { CodedError } from "../../protocol/errors.js";
import { parseServers } from "./connection.js";
import { NatsAdmin } from "./nats-admin.testkit.js";
import { freePorts, NatsCluster, NatsServer, until } from "./nats-server.testkit.js";
import { describeChange } from "./plan-change.js";
import { type Provisioning, type ProvisionOptions, prepareProvisioning } from "./provision.js";
import { startNatsBroker } from "./start.js";
import type { NamespaceSettings } from "./stream-plan.js";

const SETTINGS: NamespaceSettings = {
  defaults: DEFAULT_ROOM_SETTINGS,
  byName: { market: { history: { messages: 20_000, seconds: 300 }, state: true, ephemeral: false } },
};

describe("provisioning", () => {
  test("creates what the plan has, says so before, and finds nothing to do afterwards", async (t) => {
    const { url, admin } = await server(t);
    const first = await prepare(t, url, {});
    assert.match(
      describeChange(first.change).join("\n"),
      /create FW_CTL, FW_0 to FW_3, FW_KEY_0 to FW_KEY_3, FW_REVOKED, 1 replica/,
    );
    await assert.rejects(admin.api("STREAM.INFO.FW_0"), /stream not found/);
    await first.apply(false);
    for (const name of ["FW_CTL", "FW_0", "FW_3", "FW_KEY_3"]) await admin.api(`STREAM.INFO.${name}`);
    const { config } = await admin.stream("FW_KEY_1");
    assert.equal(config.max_msgs_per_subject, 20_100);
    assert.equal(config.max_age, 0);
    const again = await prepare(t, url, {});
    assert.deepEqual(describeChange(again.change), ["nothing to do"]);
    await again.apply(false);
  });

  test("a stored message is republished with the sequence before it", async (t) => {
    const { url, admin } = await server(t);
    await (await prepare(t, url, {})).apply(false);
    const live = admin.connection.subscribe("fw.live*.>", { max: 1 });
    const keyed = admin.connection.subscribe("fw.livekey.>", { max: 2 });
    await admin.connection.flush();
    await admin.publish("fw.key.1.market~fx.EUR%2FUSD", "1");
    await admin.publish("fw.key.1.market~fx.~", "2");
    const seen: string[] = [];
    for await (const { subject, headers } of keyed)
      seen.push(`${subject} ${headers?.get("Nats-Sequence")} ${headers?.get("Nats-Last-Sequence")}`);
    assert.deepEqual(seen, ["fw.livekey.1.market~fx.EUR%2FUSD 1 0", "fw.livekey.1.market~fx.~ 2 0"]);
    live.unsubscribe();
  });

  test("refuses what loses data, and does it when forced", async (t) => {
    const { url, admin } = await server(t);
    await (await prepare(t, url, {})).apply(false);
    await admin.publish("fw.in.0.a", "1");
    const less: NamespaceSettings = {
      ...SETTINGS,
      defaults: { ...DEFAULT_ROOM_SETTINGS, history: { messages: 500, seconds: 3_600 } },
    };
    const lossy = await prepare(t, url, { settings: less });
    await assert.rejects(lossy.apply(false), (error) => {
      assert.ok(error instanceof CodedError && error.code === "bad_request");
      assert.match(error.message, /--force.*FW_0 would drop what is beyond max_msgs_per_subject 600/);
      return true;
    });
    assert.equal((await admin.stream("FW_0")).config.max_msgs_per_subject, 1_100);
    await lossy.apply(true);
    assert.equal((await admin.stream("FW_0")).config.max_msgs_per_subject, 600);
    assert.deepEqual(describeChange((await prepare(t, url, { settings: less })).change), ["nothing to do"]);
  });

  test("of two that provision at once one is told to look again", async (t) => {
    const { url } = await server(t);
    await (await prepare(t, url, {})).apply(false);
    const other = await prepare(t, url, { partitions: 2 });
    await (await prepare(t, url, { partitions: 8 })).apply(true);
    await assert.rejects(other.apply(true), /somebody else provisions/);
  });

  test("says what is wrong where nobody answers or there is no JetStream", async (t) => {
    const [port = 0] = await freePorts(1);
    await assert.rejects(
      prepare(t, `nats://127.0.0.1:${port}`, { deadlineMs: 300 }),
      /NATS at 127.0.0.1:\d+: connection refused/,
    );
    const { url } = await server(t, "accounts { A { users: [{ user: a, password: a }] } }");
    await assert.rejects(prepare(t, url, { deadlineMs: 300 }), /Authorization Violation/i);
    await assert.rejects(
      prepare(t, url.replace("//", "//a:a@"), { deadlineMs: 1_000 }),
      /JetStream not enabled.*; is JetStream enabled in that server/i,
    );
  });

  test("what the server will not do is told at once, with what to change", async (t) => {
    const one = await NatsServer.start({ jetstream: "max_file_store: 50MB" });
    t.after(() => one.dispose());
    const admin = await NatsAdmin.connect(one.url);
    t.after(() => admin.close());
    await admin.api("STREAM.CREATE.TAKEN", { name: "TAKEN", subjects: ["taken.in.0.*"], storage: "file" });
    const cases: [Partial<ProvisionOptions>, RegExp][] = [
      [{ replicas: 3 }, /FW_CTL: replicas > 1 not supported.*set nats\.replicas to 1/],
      [{ maxBytes: 100_000_000 }, /FW_0: insufficient storage.*set nats\.maxBytes lower/],
      [{ prefix: "taken" }, /TAKEN_0: subjects overlap.*choose another nats\.prefix/],
    ];
    for (const [options, text] of cases) {
      const provisioning = await prepare(t, one.url, { partitions: 1, ...options });
      await assert.rejects(
        provisioning.apply(false),
        (error) => error instanceof CodedError && error.code === "bad_request" && text.test(error.message),
        String(text),
      );
    }
  });

  test("a server that is too old is refused by its version", async (t) => {
    const old = createServer((socket) => {
      const info = { server_id: "X", version: "2.8.4", proto: 1, max_payload: 1_048_576, headers: true };
      socket.write(`INFO ${JSON.stringify(info)}\r\n`);
      socket.on("data", (bytes) => {
        if (bytes.includes("PING")) socket.write("PONG\r\n");
      });
      socket.on("error", () => socket.destroy());
    });
    await new Promise<void>((resolve) => old.listen(0, "127.0.0.1", resolve));
    t.after(() => old.close());
    const address = old.address();
    assert.ok(address !== null && typeof address === "object");
    const url = `nats://127.0.0.1:${address.port}`;
    const refused = /nats-server 2\.8\.4 is too old: 2\.9\.0 or newer is needed/;
    await assert.rejects(prepare(t, url, {}), refused);
    await assert.rejects(startNatsBroker({ access: parseServers(url), settings: SETTINGS }), refused);
  });

  test("it can be interrupted, while it connects and while it waits", async (t) => {
    const [port = 0] = await freePorts(1);
    const bare = await NatsServer.start({
      bare: true,
      config: "accounts { A { users: [{ user: a, password: a }] } }",
    });
    t.after(() => bare.dispose());
    for (const url of [`nats://127.0.0.1:${port}`, bare.url.replace("//", "//a:a@")]) {
      const stop = new AbortController();
      const preparing = prepare(t, url, { signal: stop.signal, deadlineMs: 120_000 });
      setTimeout(() => stop.abort(), 200);
      const begun = Date.now();
      await assert.rejects(preparing, CodedError);
      assert.ok(Date.now() - begun < 10_000);
    }
  });

  test("in a cluster of three everything has three replicas", async (t) => {
    const cluster = await NatsCluster.start();
    t.after(() => cluster.dispose());
    const admin = await NatsAdmin.connect(cluster.urls);
    t.after(() => admin.close());
    await admin.insist("INFO");
    const provisioning = await prepare(t, cluster.urls.join(","), {});
    assert.equal(provisioning.replicas, 3);
    await provisioning.apply(false);
    for (const name of ["FW_CTL", "FW_2", "FW_KEY_2"])
      assert.equal((await admin.stream(name)).config.num_replicas, 3);
    const again = await prepare(t, cluster.urls[1] ?? "", {});
    assert.deepEqual(describeChange(again.change), ["nothing to do"]);
  });

  test("a cluster whose third server comes late gets three replicas, one that has only two gets one", async (t) => {
    const cluster = await NatsCluster.start();
    t.after(() => cluster.dispose());
    const admin = await NatsAdmin.connect(cluster.urls.slice(0, 2));
    t.after(() => admin.close());
    const third = cluster.server("n3");
    // A cluster forms with all of its servers.
    await admin.insist("INFO");
    await third.stop();
    await until("two servers are left", () => admin.connection.info?.connect_urls?.length === 2);
    await admin.insist("INFO");
    const urls = cluster.urls.slice(0, 2).join(",");
    assert.equal((await prepare(t, urls, { prefix: "two", clusterMs: 200 })).replicas, 1);
    const preparing = prepare(t, urls, { prefix: "late", clusterMs: 60_000 });
    await third.start();
    const provisioning = await preparing;
    assert.equal(provisioning.replicas, 3);
    await provisioning.apply(false);
    assert.equal((await admin.stream("LATE_0")).config.num_replicas, 3);
  });
});

describe("where NATS is", () => {
  test("several servers, with credentials and TLS", () => {
    assert.deepEqual(parseServers("nats://a"), { servers: ["a:4222"] });
    assert.deepEqual(parseServers("nats://u:p%40@a:1,nats://b:2/, nats://[::1]:3"), {
      servers: ["a:1", "b:2", "[::1]:3"],
      user: "u",
      password: "p@",
    });
    assert.deepEqual(parseServers("tls://s3cret@a"), { servers: ["a:4222"], token: "s3cret", tls: {} });
  });

  test("what is no server is refused without showing a password", () => {
    for (const text of [
      "",
      "a:4222",
      "http://a",
      "nats://",
      "nats://u:secret@",
      "nats://a:b:c",
      "nats://a b",
    ])
      assert.throws(
        () => parseServers(text),
        (error) => error instanceof CodedError && !error.message.includes("secret"),
        text,
      );
  });
});

async function server(t: TestContext, config = ""): Promise<{ url: string; admin: NatsAdmin }> {
  const one = await NatsServer.start({ config, bare: config !== "" });
  t.after(() => one.dispose());
  const admin = await NatsAdmin.connect(config === "" ? one.url : one.url.replace("//", "//a:a@"));
  t.after(() => admin.close());
  return { url: one.url, admin };
}

async function prepare(
  t: TestContext,
  url: string,
  options: Partial<ProvisionOptions>,
): Promise<Provisioning> {
  const provisioning = await prepareProvisioning({
    access: parseServers(url),
    settings: SETTINGS,
    prefix: "fw",
    partitions: 4,
    maxBytes: -1,
    dataBytes: 15_360,
    ...options,
  });
  t.after(() => provisioning.close());
  return provisioning;
}
