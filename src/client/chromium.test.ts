import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { createConfig } from "../server/config.js";
import { type Rig, startRig } from "../server/gateway-rig.testkit.js";
import { startServer } from "../server/server.js";
import { TcpProxy } from "./tcp-proxy.testkit.js";
import { Tunnel } from "./tunnel.testkit.js";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = [
  ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
  ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
];

interface World {
  readonly rig: Rig;
  readonly proxy: TcpProxy;
  readonly page: Page;
  readonly context: BrowserContext;
}

/** A page of the server's own origin with the bundled client in it, as `fanwire.Client`. */
async function world(t: TestContext): Promise<World> {
  assert.ok(existsSync(CHROMIUM), `${CHROMIUM} is missing: apt-get install chromium, or set CHROMIUM`);
  const script = await bundle();
  const rig = await startRig(t, {
    http: async ({ path }) => ({
      status: 200,
      headers: { "content-type": path === "/" ? "text/html" : "text/javascript" },
      body: path === "/" ? '<!doctype html><script src="/client.js"></script>' : script,
    }),
  });
  const proxy = await TcpProxy.start(t, rig.port);
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
  t.after(() => browser.close());
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`http://127.0.0.1:${proxy.port}/`);
  return { rig, proxy, page, context };
}

async function bundle(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("index.js", import.meta.url))],
    bundle: true,
    write: false,
    format: "iife",
    globalName: "fanwire",
    platform: "browser",
  });
  return outputFiles[0]?.text ?? "";
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

/** Subscribes in the page, by an address relative to it. */
async function subscribe(page: Page): Promise<void> {
  await page.evaluate(`
    globalThis.got = [];
    globalThis.states = [];
    globalThis.client = new fanwire.Client("/ws", { pingMs: 500, deadMs: 1000 });
    client.on("state", ({ kind }) => states.push(kind));
    globalThis.subscription = client.subscribe("news.a", { onMessage: ({ offset }) => got.push(offset) });
    subscription.on("reset", ({ reason }) => got.push(reason));
  `);
  await page.waitForFunction("subscription.state.kind === 'live'");
}

async function publish(rig: Rig, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await rig.publish("news.a", i);
}

async function arrived(page: Page, count: number): Promise<void> {
  await page.waitForFunction(`got.length >= ${count}`, undefined, { timeout: 15_000 });
  assert.deepEqual(await page.evaluate("got"), upTo(count));
}

test("in Chromium: cut, half-open and offline, every message arrives once and in order", async (t) => {
  const { rig, proxy, page, context } = await world(t);
  await subscribe(page);
  await publish(rig, 50);
  await arrived(page, 50);

  proxy.cut();
  await publish(rig, 50);
  await arrived(page, 100);

  // Connections stay and nothing passes: only the pings can tell.
  proxy.stall();
  await publish(rig, 50);
  await arrived(page, 150);

  await context.setOffline(true);
  proxy.cut();
  await page.waitForFunction("client.state.kind !== 'open'");
  await publish(rig, 50);
  await context.setOffline(false);
  await arrived(page, 200);
  assert.equal(
    await page.evaluate("client.publish('news.a', 'from the page').then(({ offset }) => offset)"),
    201,
  );
  await arrived(page, 201);
});

test("in Chromium: where WebSockets are refused it goes by events, over a cut too, and back", async (t) => {
  assert.ok(existsSync(CHROMIUM), `${CHROMIUM} is missing: apt-get install chromium, or set CHROMIUM`);
  const limits = { handshakeLagMs: 60_000 };
  const namespaces = { news: { publish: "client" } } as const;
  const config = createConfig({ port: 0, log: { level: "fatal" }, limits, namespaces });
  const server = await startServer(config);
  t.after(() => server.stop(500));
  const tunnel = await Tunnel.start(t, server.port, "refuse");
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
  t.after(() => browser.close());
  const page = await browser.newPage();
  const html = "<!doctype html><script type=module src=/app/index.js></script>";
  // Not by interception: Chromium would let such a page open no WebSocket to this machine.
  tunnel.files = new Map([...(await parts()), ["page", html]]);
  await page.goto(`http://127.0.0.1:${tunnel.port}/app/page`);
  await page.waitForFunction("globalThis.fanwire !== undefined");
  const isLoaded = () => tunnel.served.some((name) => name.startsWith("fallback"));
  assert.ok(!isLoaded(), "nobody loads it before it is needed");
  await page.evaluate(`
    globalThis.got = [];
    globalThis.client = new fanwire.Client("/ws", { backoffBaseMs: 10, webSocketRetryMs: 1500 });
    globalThis.subscription = client.subscribe("news.a", { onMessage: ({ data }) => got.push(data) });
    subscription.on("reset", ({ reason }) => got.push(reason));
    globalThis.publish = async (from, to) => {
      for (let number = from; number <= to; number += 1) await client.publish("news.a", number);
    };
  `);
  const by = (transport: string) =>
    page.waitForFunction(
      `subscription.state.kind === "live" && client.state.transport === "${transport}"`,
      undefined,
      { timeout: 20_000 },
    );
  await by("events");
  assert.ok(isLoaded());
  await page.evaluate("publish(1, 100)");
  await arrived(page, 100);
  tunnel.cut();
  await page.evaluate("publish(101, 150)");
  assert.ok(tunnel.asked >= 3);
  tunnel.upgrades = "pass";
  await by("websocket");
  await page.evaluate("publish(151, 200)");
  await arrived(page, 200);
});

/** The client as modules, by name. */
async function parts(): Promise<ReadonlyMap<string, string>> {
  const { outputFiles } = await build({
    stdin: {
      contents: 'import * as fanwire from "./index.js"; globalThis.fanwire = fanwire;',
      resolveDir: fileURLToPath(new URL(".", import.meta.url)),
    },
    entryNames: "index",
    bundle: true,
    splitting: true,
    write: false,
    outdir: "out",
    format: "esm",
    platform: "browser",
  });
  return new Map(outputFiles.map(({ path, text }) => [path.split("/").at(-1) ?? "", text]));
}

test("in Chromium: back online it tries at once, however long the backoff", async (t) => {
  const { proxy, page, context } = await world(t);
  await page.evaluate(`
    globalThis.client = new fanwire.Client("/ws", { backoffBaseMs: 3600000, backoffCapMs: 3600000 });
  `);
  await page.waitForFunction("client.state.kind === 'open'");
  await context.setOffline(true);
  proxy.cut();
  await page.waitForFunction("client.state.kind === 'waiting'");
  await context.setOffline(false);
  await page.waitForFunction("client.state.kind === 'open'", undefined, { timeout: 10_000 });
});
