import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { parse } from "yaml";
import { freePort } from "../server/raw-socket.testkit.js";
import { Audience, Publisher } from "../supervisor/audience.testkit.js";
import { TestNode } from "../supervisor/node.testkit.js";
import { ROOT } from "./kubernetes.testkit.js";
import { startNginx } from "./proxies.testkit.js";

interface Service {
  readonly image: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly networks: readonly string[];
  readonly volumes?: readonly string[];
  readonly restart?: string;
  readonly read_only?: boolean;
  readonly stop_grace_period?: string;
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test: readonly string[] };
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly networks: Readonly<Record<string, unknown>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

const FILE = join(ROOT, "scripts/compose.yaml");
const NGINX_CONF = join(ROOT, "scripts/compose.nginx.conf");
const DEADLINE_MS = 60_000;

const compose: Compose = parse(readFileSync(FILE, "utf8"), { merge: true });
const named = (pattern: RegExp) => Object.entries(compose.services).filter(([name]) => pattern.test(name));
const NATS = named(/^nats-/);
const ENGINES = named(/^engine-/);

test("every service is watched, waits for what it needs, and reaches only whom it must", () => {
  assert.deepEqual([NATS.length, ENGINES.length, named(/^nginx$/).length], [3, 2, 1]);
  for (const [name, service] of Object.entries(compose.services)) {
    assert.equal(service.healthcheck?.test[0], "CMD", name);
    assert.equal(service.restart, "unless-stopped", name);
    for (const network of service.networks) assert.ok(network in compose.networks, `${name}: ${network}`);
    for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
      assert.ok(other in compose.services, `${name} waits for ${other}`);
      assert.equal(condition, "service_healthy");
    }
    for (const volume of service.volumes ?? []) {
      const source = volume.split(":")[0] ?? "";
      if (source.startsWith("./")) readFileSync(join(ROOT, "scripts", source));
      else assert.ok(source in compose.volumes, `${name}: ${volume}`);
    }
  }
  assert.deepEqual(
    Object.entries(compose.services).flatMap(([name, { ports }]) => (ports === undefined ? [] : [name])),
    ["nginx"],
  );
  for (const [name, { depends_on = {}, read_only, stop_grace_period = "" }] of ENGINES) {
    assert.deepEqual(
      Object.keys(depends_on),
      NATS.map(([nats]) => nats),
      name,
    );
    assert.equal(read_only, true);
    // 10 s of drain and 10 s of closing.
    assert.ok(Number.parseInt(stop_grace_period, 10) > 20, name);
  }
  assert.equal(new Set(NATS.map(([, { volumes }]) => volumes?.[0])).size, 3, "each has a disk of its own");
});

/** Starts the NATS servers by their commands; what they are called there stands for ports here. */
async function startNats(t: TestContext): Promise<Readonly<Record<string, string>>> {
  const addresses: Record<string, string> = {};
  for (const [name] of NATS)
    for (const port of [4222, 6222]) addresses[`${name}:${port}`] = `127.0.0.1:${await freePort()}`;
  for (const [name, { command = [] }] of NATS) {
    const folder = TestNode.folderFor(t);
    const own = addresses[`${name}:6222`] ?? "";
    const args = command.map((arg) =>
      translate(arg.replace("/data", folder).replace("0.0.0.0:6222", own), addresses).replace(/^8222$/, "-1"),
    );
    const port = addresses[`${name}:4222`]?.split(":")[1] ?? "";
    const server = spawn("nats-server", [...args, "--addr", "127.0.0.1", "--port", port], {
      stdio: "ignore",
    });
    t.after(async () => {
      if (server.exitCode !== null || server.signalCode !== null) return;
      server.kill("SIGKILL");
      await once(server, "exit");
    });
  }
  return addresses;
}

function translate(text: string, addresses: Readonly<Record<string, string>>): string {
  return Object.entries(addresses).reduce((out, [name, address]) => out.replaceAll(name, address), text);
}

/** A node waits some seconds for its broker; a cluster that has just started may take longer to have a leader. */
async function startEngine(t: TestContext, env: Readonly<Record<string, string>>): Promise<TestNode> {
  const endMs = performance.now() + DEADLINE_MS;
  for (;;) {
    try {
      return await TestNode.start(t, { env });
    } catch (cause) {
      // As `restart: unless-stopped` does.
      if (performance.now() > endMs) throw cause;
      await sleep(500);
    }
  }
}

test("what the file starts, by its commands, serves one feed at two engines behind nginx", async (t) => {
  const addresses = await startNats(t);
  const nodes: TestNode[] = [];
  for (const [, { environment = {} }] of ENGINES) {
    const { FANWIRE_API_KEY: key = "", ...others } = environment;
    const env = Object.fromEntries(
      Object.entries(others).map(([name, value]) => [name, translate(value, addresses)]),
    );
    // Nothing starts without; here everybody may publish.
    assert.match(key, /^\$\{FANWIRE_API_KEY:\?/);
    const own = { FANWIRE_WORKERS: "1", FANWIRE_PROXIES_TRUSTED: "127.0.0.1" };
    nodes.push(await startEngine(t, { ...env, ...own }));
  }
  const ports = Object.fromEntries(nodes.map(({ port }, index) => [`engine-${index + 1}:9001`, port]));
  const url = await startNginx(t, readFileSync(NGINX_CONF, "utf8"), ports);
  const audience = await Audience.open(t, url, 20, ["news.a"]);
  for (const node of nodes) await node.until("shared", ({ connections }) => connections >= 5);
  const publisher = new Publisher(t, url, ["news.a"]);
  await publisher.more(50);
  await audience.gotAll(await publisher.stop());
});
