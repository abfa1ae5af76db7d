import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { type Browser, chromium, type Page } from "playwright-core";
import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { TcpProxy } from "../client/tcp-proxy.testkit.js";
import { eventually, type Rig, startRig } from "../server/gateway-rig.testkit.js";
import { FanwireProvider, useConnection, useKey, useKeyedState, useRoom } from "./index.js";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = [
  ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
  ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
  ...["--js-flags=--expose-gc", "--enable-precise-memory-info"],
];
const TEST_MS = 180_000;
const CELLS = 2_000;
/** Cells that change all the time. */
const HOT = 5;
const MESSAGES = 500;
const BUSY_TURNS = 100;
/** Of each of some bursts. */
const GRID_MESSAGES = 400;
/** At 60 frames a second. */
const FRAME_MS = 1_000 / 60;
const MOUNTS = 1_000;
/** What a mount may leave behind, in bytes: less than any component, subscription or store. */
const LEFT_BYTES_MAX = 200;

let browser: Browser;
type Mode = "development" | "production";

before(async () => {
  assert.ok(existsSync(CHROMIUM), `${CHROMIUM} is missing: apt-get install chromium, or set CHROMIUM`);
  browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
});

after(() => browser?.close());

async function bundle(mode: Mode): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("app.testkit.js", import.meta.url))],
    bundle: true,
    write: false,
    format: "iife",
    platform: "browser",
    define: { "process.env.NODE_ENV": JSON.stringify(mode) },
  });
  return outputFiles[0]?.text ?? "";
}

interface World {
  readonly rig: Rig;
  readonly proxy: TcpProxy;
  readonly page: Page;
  /** What React and the page complained of. */
  readonly complaints: readonly string[];
}

async function world(t: Parameters<typeof startRig>[0], mode: Mode = "development"): Promise<World> {
  const script = await bundle(mode);
  const rig = await startRig(t, {
    namespaces: { board: { state: true }, chat: {}, hall: { presence: "count" } },
    http: async ({ path }) => ({
      status: 200,
      headers: { "content-type": path === "/" ? "text/html" : "text/javascript" },
      body: path === "/" ? '<!doctype html><div id="root"></div><script src="/app.js"></script>' : script,
    }),
  });
  const proxy = await TcpProxy.start(t, rig.port);
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (line) => {
    if (["error", "warning"].includes(line.type()) && !/favicon|WebSocket/.test(line.text()))
      complaints.push(line.text());
  });
  await page.goto(`http://127.0.0.1:${proxy.port}/`);
  return { rig, proxy, page, complaints };
}

async function untilText(page: Page, selector: string, text: string): Promise<void> {
  await page
    .locator(selector)
    .filter({ hasText: new RegExp(`^${text}$`) })
    .first()
    .waitFor({ timeout: 60_000 });
}

test("a board of 2,000 cells: each shows its key, and renders at most once a frame", {
  timeout: TEST_MS,
}, async (t) => {
  const { rig, page, complaints } = await world(t);
  const symbols = Array.from({ length: CELLS }, (_, index) => `S${index}`);
  for (const [index, symbol] of symbols.entries()) await rig.publish("board.quotes", index, symbol);
  await page.evaluate(`app.board(${JSON.stringify(symbols)})`);
  await untilText(page, "#total", `live ${CELLS}`);
  await untilText(page, "#cell-S1999", "1999");

  const before = await countsOf(page);
  // One message a turn of the page, many turns a frame.
  const hot = symbols.slice(0, HOT);
  for (let number = 0; number < MESSAGES; number += 1) {
    await rig.publish("board.quotes", number, hot[number % HOT]);
    await sleep(1);
  }
  await untilText(page, `#cell-${hot.at(-1)}`, String(MESSAGES - 1));
  const counts = await countsOf(page);
  const shown: string[] = await page.evaluate(
    `${JSON.stringify(hot)}.map((symbol) => document.getElementById("cell-" + symbol).textContent)`,
  );
  assert.deepEqual(
    shown,
    hot.map((_, index) => String(MESSAGES - HOT + index)),
  );
  // Strict mode renders everything twice.
  const renders = (counts.cellRenders - before.cellRenders) / 2;
  const frames = counts.frames - before.frames;
  assert.ok(renders >= HOT && renders <= (frames + 1) * HOT, `${renders} renders, ${frames} frames`);
  assert.equal(counts.boardRenders, before.boardRenders, "the table itself has nothing to render");
  assert.equal(subscriptionsOf(rig), 1, "all cells share a subscription");

  const startMs = performance.now();
  for (let number = 0; number < BUSY_TURNS; number += 1) {
    for (let each = 0; each < 50; each += 1)
      await rig.publish("board.quotes", number, symbols[(number * 50 + each * 37) % CELLS]);
    await sleep(10);
  }
  const seconds = (performance.now() - startMs) / 1_000;
  const drawn = (await countsOf(page)).frames - counts.frames;
  t.diagnostic(
    `${Math.round((BUSY_TURNS * 50) / seconds)} updates/s over ${CELLS} cells: ${Math.round(drawn / seconds)} frames/s`,
  );

  await rig.publish("board.quotes", null, "S5");
  await untilText(page, "#cell-S5", "–");
  await page.evaluate("app.nothing()");
  await eventually(() => subscriptionsOf(rig) === 0, "the subscription to end with the page", 30_000);
  assert.deepEqual(complaints, []);
});

test("a board of 2,000 cells in one component: a frame's work is done in a frame, whatever comes", {
  timeout: TEST_MS,
}, async (t) => {
  // As it is shipped: what development and strict mode do besides is not the board's.
  const { rig, page, complaints } = await world(t, "production");
  const symbols = Array.from({ length: CELLS }, (_, index) => `S${index}`);
  for (const [index, symbol] of symbols.entries()) await rig.publish("board.quotes", index, symbol);
  await page.evaluate(`app.grid(${JSON.stringify(symbols)})`);
  await untilText(page, "#total", `live ${CELLS}`);
  await untilText(page, "#cell-S1999", "1999");

  const cdp = await page.context().newCDPSession(page);
  // Of the page's main thread and not by the clock: others may have the machine meanwhile.
  await cdp.send("Performance.enable", { timeDomain: "threadTicks" });
  const look = async () => {
    const { metrics } = await cdp.send("Performance.getMetrics");
    const busySeconds = metrics.find(({ name }) => name === "TaskDuration")?.value ?? Number.NaN;
    return { ...(await countsOf(page)), busySeconds, atMs: performance.now() };
  };
  let number = 0;
  // Each message in a turn of the server and a WebSocket message of its own: many come a frame.
  const burst = async () => {
    const before = await look();
    for (const end = number + GRID_MESSAGES; number < end; ) {
      number += 1;
      await rig.publish("board.quotes", -number, symbols[(number * 37) % CELLS]);
      await (number % 8 === 0 ? sleep(2) : new Promise(setImmediate));
    }
    await untilText(page, `#cell-${symbols[(number * 37) % CELLS]}`, String(-number));
    const after = await look();
    const renders = after.gridRenders - before.gridRenders;
    const frames = after.frames - before.frames;
    const seconds = (after.atMs - before.atMs) / 1_000;
    // Where no frame is drawn for long, a timer takes its place.
    assert.ok(renders <= frames + seconds * 10 + 1, `${renders} renders, ${frames} frames in ${seconds} s`);
    return { frames, seconds, frameMs: ((after.busySeconds - before.busySeconds) * 1_000) / frames };
  };
  const bursts = [await burst(), await burst(), await burst(), await burst()];
  const frames = bursts.reduce((sum, { frames }) => sum + frames, 0);
  const seconds = bursts.reduce((sum, { seconds }) => sum + seconds, 0);
  const costs = bursts.map(({ frameMs }) => frameMs.toFixed(1)).join(", ");
  t.diagnostic(
    `${Math.round(number / seconds)} messages/s: ${Math.round(frames / seconds)} frames/s, ${costs} ms of the main thread a frame`,
  );
  // Who shares the machine only ever adds to it: the least is the board's own.
  assert.ok(Math.min(...bursts.map(({ frameMs }) => frameMs)) <= FRAME_MS, `${costs} ms a frame`);
  assert.deepEqual(complaints, []);
});

test("a room's latest messages, over a cut; another way of the same room is refused with a reason", {
  timeout: TEST_MS,
}, async (t) => {
  const { rig, proxy, page, complaints } = await world(t);
  for (let number = 1; number <= 10; number += 1) await rig.publish("chat.a", number);
  await page.evaluate(`app.chats([["chat.a", 5], ["chat.a", 5]])`);
  await untilText(page, ".chat", "6,7,8,9,10");
  await untilText(page, "#link", "open");
  assert.equal(subscriptionsOf(rig), 1);

  proxy.refuse(true);
  await untilText(page, "#link", "waiting");
  for (let number = 11; number <= 30; number += 1) await rig.publish("chat.a", number);
  proxy.refuse(false);
  await untilText(page, ".chat", Array.from({ length: 20 }, (_, index) => index + 11).join(","));
  assert.deepEqual(await page.locator(".state").allTextContents(), ["live  ", "live  "]);

  await page.evaluate(`app.chats([["chat.a", 5], ["chat.a", 6], ["no room", 1]])`);
  await untilText(page, ".state >> nth=1", "failed bad_request ");
  await untilText(page, ".state >> nth=2", "failed room_invalid ");
  await untilText(page, ".state >> nth=0", "live {2}");

  await page.evaluate(`app.own("/ws")`);
  await untilText(page, "#root", "opensome");
  await page.evaluate("app.nothing()");
  await eventually(() => subscriptionsOf(rig) === 0, "subscriptions to end", 30_000);
  await eventually(() => rig.counters.connections === 1, "the provider's own connection to end", 30_000);
  assert.deepEqual(complaints, []);
});

test("who is in a room, as they come and go", { timeout: TEST_MS }, async (t) => {
  const { page, complaints } = await world(t);
  await page.evaluate("app.people()");
  await untilText(page, "#people", "1");
  const other = await page.context().newPage();
  await other.goto(page.url());
  await other.evaluate("app.people()");
  for (const one of [page, other]) await untilText(one, "#people", "2");
  await other.close();
  await untilText(page, "#people", "1");
  assert.deepEqual(complaints, []);
});

test("a thousand mounts leave nothing behind", { timeout: TEST_MS }, async (t) => {
  const { rig, page, complaints } = await world(t);
  for (let number = 1; number <= 10; number += 1) await rig.publish("chat.a", number);
  const heap = async (): Promise<number> => {
    await page.evaluate("gc()");
    await page.evaluate("gc()");
    return Number(await page.evaluate("performance.memory.usedJSHeapSize"));
  };
  await page.evaluate("app.mounts(500)");
  const before = await heap();
  await page.evaluate(`app.mounts(${MOUNTS})`);
  const left = (await heap()) - before;
  t.diagnostic(`${Math.round(left / MOUNTS)} bytes a mount`);
  assert.ok(left < MOUNTS * LEFT_BYTES_MAX, `${left} bytes after ${MOUNTS} mounts`);
  await eventually(() => subscriptionsOf(rig) === 0, "no subscription to stay", 30_000);
  assert.deepEqual(complaints, []);
});

test("on a server everything renders, and nothing connects", () => {
  const Page = () => {
    const [room, state, key, link] = [
      useRoom("chat.a"),
      useKeyedState("board.quotes"),
      useKey("board.quotes", "S1"),
      useConnection(),
    ];
    return `${room.messages.length} ${state.values.size} ${key} ${link.state.kind}`;
  };
  const html = renderToString(
    createElement(FanwireProvider, { url: "ws://127.0.0.1:1/ws" }, createElement(Page)),
  );
  assert.equal(html, "0 0 undefined idle");
});

interface Counts {
  readonly gridRenders: number;
  readonly cellRenders: number;
  readonly boardRenders: number;
  readonly frames: number;
}

async function countsOf(page: Page): Promise<Counts> {
  return page.evaluate("({...app.counts})");
}

function subscriptionsOf({ sessions }: Rig): number {
  const open = sessions.filter(({ isClosed }) => !isClosed);
  return open.reduce((sum, { subscriptions }) => sum + subscriptions.rooms().length, 0);
}
