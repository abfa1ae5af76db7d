import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { type Program, startFeed, startRestartableServer, startServer } from "../feed/program.testkit.js";
import { numberOf, startBrowser, textOf, until, type Visit, visit } from "./demo.testkit.js";

const TEST_MS = 90_000;
const MARKET_OFFSET = '[data-room="market.fx"] td:nth-child(2)';
const ROOMS = [
  "market.fx",
  "host.cpu",
  "host.memory",
  "host.network",
  "host.disk",
  "host.pressure",
  "cursors.lobby",
];

let browser: Browser;
let server: Program;
let feed: Program;
let url: string;

before(async () => {
  const started = await startRestartableServer();
  server = started.program;
  url = started.url;
  feed = startFeed(url);
  browser = await startBrowser();
});

after(async () => {
  await browser?.close();
  await feed?.end();
  await server?.end();
});

async function open(size = { width: 1_440, height: 900 }): Promise<Visit> {
  const context = await browser.newContext({ viewport: size });
  const visited = await visit(context, url);
  await until("live", async () => (await textOf(visited.page, "#status-text")) === "Live");
  return visited;
}

async function inSight(page: Page, symbol: string): Promise<boolean> {
  const row = await page.locator(`[data-symbol="${symbol}"]`).boundingBox();
  const place = await page.locator("#board-scroll").boundingBox();
  return row !== null && place !== null && row.y > place.y && row.y < place.y + place.height;
}

async function roomState(page: Page, room: string): Promise<string> {
  return textOf(page, `[data-room="${room}"] td:last-child`);
}

/** The newest line of the log that matches; waits for it. */
async function logged(page: Page, pattern: RegExp): Promise<RegExpExecArray> {
  let found: RegExpExecArray | null = null;
  await until(`the log says ${pattern}`, async () => {
    for (const line of await page.locator("#log li span").allTextContents()) {
      found ??= pattern.exec(line.replaceAll(",", ""));
    }
    return found !== null;
  });
  if (found === null) throw new Error("unreachable");
  return found;
}

test("data moves: rates, offsets, telemetry, chart; no error and nothing against the policy", {
  timeout: TEST_MS,
}, async () => {
  const { page, problems } = await open();
  await until("all rooms live", async () => {
    for (const room of ROOMS) if ((await roomState(page, room)) !== "live") return false;
    return true;
  });
  await until("253 rows", async () => (await page.locator("#board-rows tr").count()) === 253);
  const [offset, date, rate] = [
    await numberOf(page, MARKET_OFFSET),
    await textOf(page, "#chart-date"),
    await textOf(page, '[data-symbol="EURUSD"] .rate'),
  ];
  await until("the market goes on", async () => (await numberOf(page, MARKET_OFFSET)) > offset + 500);
  await until("the chart's date goes on", async () => (await textOf(page, "#chart-date")) !== date);
  await until(
    "a row's rate moves",
    async () => (await textOf(page, '[data-symbol="EURUSD"] .rate')) !== rate,
  );
  await until(
    "telemetry",
    async () => (await numberOf(page, "#cpu-value")) >= 0 && (await numberOf(page, "#memory-value")) > 0,
  );
  await until("about 500 messages a second", async () => (await numberOf(page, "#vital-messages")) > 300);
  await until("a latency", async () => (await numberOf(page, "#vital-p99")) > 0);
  assert.equal(await page.locator("#chart-plot canvas").count(), 1);
  assert.equal(await textOf(page, "#vital-missing"), "0");
  assert.deepEqual(problems, []);
  await page.context().close();
});

test("a page opened before the feed says that there is nothing, then shows all", {
  timeout: TEST_MS,
}, async (t) => {
  const other = await startServer();
  t.after(() => other.program.end());
  const { page, problems } = await visit(await browser.newContext(), other.url);
  await until("live", async () => (await textOf(page, "#status-text")) === "Live");
  assert.equal(await page.locator("#board-empty").innerText(), "No rates yet.");
  const later = startFeed(other.url);
  t.after(() => later.end());
  await until("253 rows", async () => (await page.locator("#board-rows tr").count()) === 253);
  await until("the selected row is in sight", () => inSight(page, "EURUSD"));
  assert.equal(await page.locator("#board-empty").isVisible(), false);
  assert.deepEqual(problems, []);
  await page.context().close();
});

const UNITS: Readonly<Record<string, number>> = { s: 1_000, kB: 1_000, MB: 1_000_000 };

/** Messages, WebSocket messages and bytes a second, and milliseconds, as the board shows them. */
async function paceOf(page: Page): Promise<{ frames: number; bytes: number; staleness: number }> {
  const shown = async (name: string): Promise<number> => {
    const [, number = "", unit = ""] = /^([\d.,]+)\s*(\S*)$/.exec(await textOf(page, `#pace-${name}`)) ?? [];
    return Number(number.replaceAll(",", "")) * (UNITS[unit] ?? 1);
  };
  const [frames, bytes, staleness] = [await shown("frames"), await shown("bytes"), await shown("staleness")];
  return { frames, bytes, staleness };
}

test("the board is paced: one update a second of each pair, nothing missing, and back", {
  timeout: TEST_MS,
}, async () => {
  const { page, problems } = await open();
  await until("rows", async () => (await page.locator("#board-rows tr").count()) === 253);
  const pressed = async (rate: string) =>
    (await page.locator(`[data-rate="${rate}"][aria-pressed="true"]`).count()) === 1;
  const rates = () => numberOf(page, "#pace-messages");
  // The feed's 500 quotes a second are two of each pair.
  await until("every message", async () => (await rates()) > 400);
  assert.ok(await pressed("all"));
  const all = await paceOf(page);
  await page.locator('[data-rate="1"]').click();
  await until("at 1 Hz", () => pressed("1"));
  await until("one a second of each", async () => (await rates()) <= 260 && (await rates()) > 150);
  // Half of the rates, in few frames, and each up to a second old: all that is to be seen.
  await until("what it saves and costs", async () => {
    const { frames, bytes, staleness } = await paceOf(page);
    return frames < all.frames && bytes < 0.8 * all.bytes && staleness > 100;
  });
  await page.locator('[data-rate="all"]').click();
  await until("all again", () => pressed("all"));
  await until("every message again", async () => (await rates()) > 400);
  assert.equal(await textOf(page, "#vital-missing"), "0");
  assert.deepEqual(problems, []);
  await page.context().close();
});

test("the watchlist filters, sorts and is walked by keys", { timeout: TEST_MS }, async () => {
  const { page, problems } = await open();
  await until("rows", async () => (await page.locator("#board-rows tr").count()) === 253);
  await page.keyboard.press("/");
  await page.keyboard.type("chf");
  await until("filtered", async () => (await page.locator("#board-rows tr").count()) === 22);
  await page.click('[data-sort="rate"]');
  const rates = (await page.locator("#board-rows .rate").allTextContents()).map(Number);
  assert.ok((rates[0] ?? 0) > (rates.at(-1) ?? 0), "the largest rate is first");
  await page.locator("#board-rows tr").first().click();
  await page.keyboard.press("ArrowDown");
  const second = await page.locator("#board-rows tr").nth(1).getAttribute("data-symbol");
  await until(
    "the chart shows the second row",
    async () => (await textOf(page, "#chart-pair")).replace("/", "") === second,
  );
  assert.equal(await page.locator('#board-rows tr[aria-selected="true"]').count(), 1);
  assert.deepEqual(problems, []);
  await page.context().close();
});

test("two visitors see each other's pointers, and one who goes disappears", {
  timeout: TEST_MS,
}, async () => {
  const [one, two] = [await open(), await open({ width: 900, height: 700 })];
  const name = await textOf(two.page, "#visitor-name");
  await until("the second is seen by the first, at its place", async () => {
    await two.page.mouse.move(500 + Math.random() * 10, 200);
    return (await one.page.locator(".cursor span").allTextContents()).includes(name);
  });
  await until("and the first by the second", async () => {
    await one.page.mouse.move(600 + Math.random() * 10, 300);
    return (await two.page.locator(".cursor").count()) === 1;
  });
  // The same share of the same part, although the windows differ in size.
  const [box, place] = [
    await one.page.locator(".cursor").boundingBox(),
    await one.page.locator(".chart").boundingBox(),
  ];
  assert.ok(box !== null && place !== null);
  assert.ok(box.x >= place.x && box.x <= place.x + place.width, `${box.x} is not within the chart`);
  assert.equal(await one.page.locator("#cursors").getAttribute("aria-hidden"), "true");
  await two.page.context().close();
  await until("the second is gone", async () => (await one.page.locator(".cursor").count()) === 0);
  assert.deepEqual([...one.problems, ...two.problems], []);
  await one.page.context().close();
});

test("the cut button cuts, and the page resumes from its offset with nothing missing", {
  timeout: TEST_MS,
}, async () => {
  const { page, problems } = await open();
  await until("flow", async () => (await numberOf(page, "#vital-messages")) > 300);
  await page.check('input[value="2"]');
  await page.click("#cut");
  await until("cut", async () => (await textOf(page, "#status-text")) === "Cut");
  const held = await numberOf(page, MARKET_OFFSET);
  while ((await textOf(page, "#status-text")) === "Cut") {
    const now = await numberOf(page, MARKET_OFFSET);
    const stillCut = (await textOf(page, "#status-text")) === "Cut";
    assert.ok(now === held || !stillCut, "nothing comes through the cut");
  }
  const [, from, replayed, missing] = await logged(
    page,
    /market\.fx resumed from offset (\d+): (\d+) messages replayed (\d+) missing/,
  );
  assert.equal(missing, "0");
  assert.equal(Number(from), held);
  assert.ok(Number(replayed) > 500, `${replayed} replayed of two seconds at 500 a second`);
  const [, others] = await logged(page, /5 other rooms: \d+ replayed (\d+) missing/);
  assert.equal(others, "0");
  await until("live again, beyond what was replayed", async () => {
    return (await numberOf(page, MARKET_OFFSET)) > Number(from) + Number(replayed);
  });
  assert.equal(await textOf(page, "#vital-missing"), "0");
  assert.deepEqual(problems, []);
  await page.context().close();
});

test("a server that is killed and started again is found, and the page tells that the epoch changed", {
  timeout: TEST_MS,
}, async () => {
  const { page, problems } = await open();
  await until("flow", async () => (await numberOf(page, MARKET_OFFSET)) > 0);
  const before = await numberOf(page, MARKET_OFFSET);
  const port = Number(new URL(url).port);
  await server.end("SIGKILL");
  await until("told", async () => (await page.locator("#status").getAttribute("data-kind")) === "down");
  server = (await startServer(port)).program;
  await until("live again", async () => (await textOf(page, "#status-text")) === "Live");
  await logged(page, /6 rooms could not resume the epoch changed/);
  await until("all rooms live", async () => {
    for (const room of ROOMS) if ((await roomState(page, room)) !== "live") return false;
    return true;
  });
  await until("numbered anew", async () => (await numberOf(page, MARKET_OFFSET)) < before);
  await until("flow", async () => (await numberOf(page, "#vital-messages")) > 300);
  assert.equal(await textOf(page, "#vital-missing"), "0");
  // The browser itself tells of the refused attempts; nothing else may be wrong.
  assert.deepEqual(
    problems.filter((problem) => !problem.includes("WebSocket connection to")),
    [],
  );
  await page.context().close();
});

test("on a phone nothing is wider than the screen, and themes can be switched", {
  timeout: TEST_MS,
}, async () => {
  const { page, problems } = await open({ width: 390, height: 844 });
  await until("rows", async () => (await page.locator("#board-rows tr").count()) > 0);
  assert.equal(await page.evaluate("document.documentElement.scrollWidth"), 390);
  const background = () => page.evaluate("getComputedStyle(document.body).backgroundColor");
  const first = await background();
  await page.click("#theme");
  assert.notEqual(await background(), first);
  await page.reload();
  assert.notEqual(await background(), first, "the choice is kept");
  assert.deepEqual(problems, []);
  await page.context().close();
});
