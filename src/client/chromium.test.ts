import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import type { Rate } from "../protocol/frames.js";
import { parseRoom } from "../protocol/room-name.js";
import { createConfig } from "../server/config.js";
import { eventually, type Rig, startRig } from "../server/gateway-rig.testkit.js";
import { startServer } from "../server/server.js";
import { TcpProxy } from "./tcp-proxy.testkit.js";
import { Tunnel } from "./tunnel.testkit.js";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = [
  ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
  ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
];

const DEADLINE_MS = 30_000;

let browser: Browser;

before(async () => {
  assert.ok(existsSync(CHROMIUM), `${CHROMIUM} is missing: apt-get install chromium, or set CHROMIUM`);
  browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
});

after(() => browser?.close());

interface World {
  readonly rig: Rig;
  readonly proxy: TcpProxy;
  readonly page: Page;
  readonly context: BrowserContext;
}

/** A page of the server's own origin with the bundled client in it, as `fanwire.Client`. */
async function world(t: TestContext): Promise<World> {
  const script = await bundle();
  const rig = await startRig(t, {
    http: async ({ path }) => ({
      status: 200,
      headers: { "content-type": path === "/" ? "text/html" : "text/javascript" },
      body: path === "/" ? '<!doctype html><script src="/client.js"></script>' : script,
    }),
  });
  const proxy = await TcpProxy.start(t, rig.port);
  const context = await browser.newContext();
  t.after(() => context.close());
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
  const limits = { handshakeLagMs: 60_000 };
  const namespaces = { news: { publish: "client" } } as const;
  const config = createConfig({ port: 0, log: { level: "fatal" }, limits, namespaces });
  const server = await startServer(config);
  t.after(() => server.stop(500));
  const tunnel = await Tunnel.start(t, server.port, "refuse");
  const page = await browser.newPage();
  t.after(() => page.close());
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

/** What a page of {@link BOARD} says of itself, in its title: a page that Playwright holds is never hidden to its own eyes. */
interface Told {
  readonly isHidden: boolean;
  /** Messages of the room of every message, and whether they are 1, 2, 3 and so on. */
  readonly news: number;
  readonly newsInOrder: boolean;
  /** Messages of the two paced rooms, their latest by key, and whether their offsets only ever went up. */
  readonly paced: number;
  readonly kept: number;
  readonly latest: readonly (number | undefined)[];
  readonly latestKept: readonly (number | undefined)[];
  readonly upwards: boolean;
  readonly resets: readonly string[];
}

const KEYS = ["k0", "k1", "k2"];
const [FAST, SLOW] = [30, 4];
/** Messages of a board while it is hidden: several times what the slow class takes of them, and not what the fast one does. */
const BURST = 60;

const BOARD = `<!doctype html><script src="/client.js"></script><script>
  const client = new fanwire.Client("/ws");
  const told = { news: 0, newsInOrder: true, paced: 0, kept: 0, upwards: true, resets: [] };
  const boards = [["board.paced", "paced", {}], ["board.kept", "kept", { hidden: "keep" }]].map(([room, name, options]) => {
    let last = 0;
    const onMessage = ({ offset }) => {
      told[name] += 1;
      told.upwards &&= offset > last;
      last = offset;
      say();
    };
    return client.stateMap(room, { rate: ${FAST}, onMessage, ...options });
  });
  const news = client.subscribe("news.a", {
    onMessage: ({ data }) => {
      told.news += 1;
      told.newsInOrder &&= data === told.news;
      say();
    },
  });
  for (const one of [news, ...boards.map(({ subscription }) => subscription)])
    one.on("reset", ({ reason }) => told.resets.push(reason));
  const say = () => {
    const [latest, latestKept] = boards.map((board) => ${JSON.stringify(KEYS)}.map((key) => board.get(key)?.data));
    document.title = JSON.stringify({ ...told, isHidden: document.hidden, latest, latestKept });
  };
  document.addEventListener("visibilitychange", say);
  for (const board of boards) board.on("changes", say);
  say();
</script>`;

test("in Chromium: a tab behind another is in the slowest class, and back in its own when it is seen", async (t) => {
  const script = await bundle();
  const rig = await startRig(t, {
    namespaces: { board: { state: true, rates: ["all", FAST, SLOW] }, news: {} },
    http: async ({ path }) => ({
      status: 200,
      headers: { "content-type": path === "/client.js" ? "text/javascript" : "text/html" },
      body: path === "/client.js" ? script : path === "/board" ? BOARD : "<!doctype html>another tab",
    }),
  });
  // Two tabs of one window, made past Playwright, which tells all its pages that they are seen.
  const cdp = await browser.newBrowserCDPSession();
  const open = async (path: string): Promise<string> => {
    const { targetId } = await cdp.send("Target.createTarget", {
      url: `http://127.0.0.1:${rig.port}${path}`,
    });
    t.after(() => cdp.send("Target.closeTarget", { targetId }));
    return targetId;
  };
  const targetId = await open("/board");
  const told = async (holds: (told: Told) => boolean, what: string): Promise<Told> => {
    const endMs = performance.now() + DEADLINE_MS;
    for (;;) {
      const { targetInfo } = await cdp.send("Target.getTargetInfo", { targetId });
      const said: Told | undefined = targetInfo.title.startsWith("{")
        ? JSON.parse(targetInfo.title)
        : undefined;
      if (said !== undefined && holds(said)) return said;
      assert.ok(performance.now() < endMs, `${what}: ${targetInfo.title}`);
      await sleep(10);
    }
  };
  // The server's view: who is live in which class.
  const inClasses = (room: string, rates: readonly Rate[]) => {
    const found = () =>
      (rig.engine.inspect(parseRoom(room))?.classes ?? []).filter(({ members }) => members > 0);
    const isSo = () => JSON.stringify(found().map(({ rate }) => rate)) === JSON.stringify(rates);
    return eventually(isSo, `${room} in ${rates}`, DEADLINE_MS);
  };
  let sent = 0;
  const publish = async (count: number, pauseMs: number): Promise<void> => {
    for (const end = sent + count; sent < end; ) {
      sent += 1;
      await rig.publish("news.a", sent);
      for (const room of ["board.paced", "board.kept"])
        await rig.publish(room, sent, KEYS[sent % KEYS.length]);
      await sleep(pauseMs);
    }
  };
  const latest = () => JSON.stringify(KEYS.map((_, at) => sent - ((sent - at) % KEYS.length)));
  const isUpToDate = (told: Told) =>
    told.news === sent && [told.latest, told.latestKept].every((board) => JSON.stringify(board) === latest());

  await Promise.all(["board.paced", "board.kept"].map((room) => inClasses(room, [FAST])));
  await publish(6, 1);
  await told((told) => !told.isHidden && isUpToDate(told), "seen");

  // Messages flow while it changes classes, too.
  const meanwhile = publish(20, 5);
  await open("/another");
  await inClasses("board.paced", [SLOW]);
  await meanwhile;
  await inClasses("board.kept", [FAST]);
  const begin = await told((told) => told.isHidden && isUpToDate(told), "hidden");
  const startMs = performance.now();
  await publish(BURST, 10);
  const hidden = await told(isUpToDate, "the latest of every key while hidden");
  const windows = ((performance.now() - startMs) / 1_000) * SLOW + 2;
  const came = hidden.paced - begin.paced;
  t.diagnostic(
    `hidden: ${came} of ${BURST} messages, ${hidden.kept - begin.kept} of those of a room that keeps its pace`,
  );
  assert.ok(came <= windows * KEYS.length, `${came} messages in ${windows} windows of ${KEYS.length} keys`);

  const again = publish(20, 5);
  await cdp.send("Target.activateTarget", { targetId });
  await inClasses("board.paced", [FAST]);
  await again;
  await publish(6, 1);
  const end = await told((told) => !told.isHidden && isUpToDate(told), "seen again");
  const { newsInOrder, upwards, resets } = end;
  assert.deepEqual({ newsInOrder, upwards, resets }, { newsInOrder: true, upwards: true, resets: [] });
});
