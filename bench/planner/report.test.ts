import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { planFor, type Wish } from "./plan.js";
import { CALIBRATION, WISH } from "./plan.testkit.js";
import { planPage } from "./report.js";

const CHROMIUM = "/usr/bin/chromium";

function pageOf(wish: Wish, calibration = CALIBRATION): string {
  return planPage(wish, planFor(wish, calibration), calibration, 'fanwire plan --rate "20" <x>');
}

interface Seen {
  readonly scheme: "light" | "dark";
  readonly paper: string;
  readonly problems: readonly string[];
}

/** Opens the file as somebody would who got it by mail, and looks at it. */
async function look(
  browser: Browser,
  file: string,
  scheme: "light" | "dark",
  width: number,
  check: (page: Page) => Promise<void>,
): Promise<Seen> {
  const context = await browser.newContext({ colorScheme: scheme, viewport: { width, height: 900 } });
  const page = await context.newPage();
  const problems: string[] = [];
  page.on("console", (message) => problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("request", (request) => {
    if (!request.url().startsWith("file:")) problems.push(`asked for ${request.url()}`);
  });
  await page.goto(pathToFileURL(file).href);
  await check(page);
  const paper = await page.evaluate("getComputedStyle(document.body).backgroundColor");
  await context.close();
  return { scheme, paper: String(paper), problems };
}

test("the page shows the plan, every plot is drawn, and it needs nothing from elsewhere, light, dark and narrow", {
  timeout: 120_000,
}, async (t) => {
  assert.ok(existsSync(CHROMIUM), `${CHROMIUM} is missing: apt-get install -y chromium`);
  const folder = mkdtempSync(join(tmpdir(), "fanwire-report-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "plan.html");
  writeFileSync(file, pageOf(WISH));
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ["--headless", "--no-sandbox", "--disable-gpu"],
  });
  t.after(() => browser.close());
  const check = async (page: Page): Promise<void> => {
    const { boxes } = planFor(WISH, CALIBRATION);
    assert.equal(await page.locator("h1").textContent(), `${boxes} boxes for 250,000 connections`);
    // Limits, deliveries, one worker measured, cost, what binds, memory, uncertainty.
    assert.equal(await page.locator("figure svg").count(), 7);
    const drawn = await page.evaluate(
      `[...document.querySelectorAll("svg")].map((svg) => ({
         name: svg.getAttribute("aria-label"),
         height: svg.getBoundingClientRect().height,
         broken: /NaN|Infinity|undefined/.test(svg.outerHTML),
         outside: [...svg.querySelectorAll("text")].filter((text) => {
           const [box, frame] = [text.getBoundingClientRect(), svg.getBoundingClientRect()];
           return box.left < frame.left - 1 || box.right > frame.right + 1;
         }).map((text) => text.textContent),
       }))`,
    );
    for (const svg of drawn as { name: string; height: number; broken: boolean; outside: string[] }[]) {
      assert.ok(svg.height > 60, svg.name);
      assert.equal(svg.broken, false, svg.name);
      assert.deepEqual(svg.outside, [], svg.name);
    }
    const wide = await page.evaluate("document.documentElement.scrollWidth > innerWidth");
    assert.equal(wide, false, "nothing to scroll sideways");
    assert.match((await page.locator("body").textContent()) ?? "", /2 × test <&>/);
  };
  const seen = [
    await look(browser, file, "light", 1_200, check),
    await look(browser, file, "dark", 1_200, check),
    await look(browser, file, "light", 390, check),
  ];
  for (const { problems } of seen) assert.deepEqual(problems, []);
  assert.notEqual(seen[0]?.paper, seen[1]?.paper);
});

test("plans of other kinds have pages, too", () => {
  const alone: Wish = { ...WISH, connections: 100, lost: 0, rate: "all", updates: 5 };
  assert.match(pageOf(alone), /<h1>1 box for 100 connections/);
  const bare = { ...CALIBRATION, runs: [], frontier: [] };
  assert.equal(pageOf(WISH, bare).match(/<svg/g)?.length, 5, "no plot of what was not measured");
  const late = CALIBRATION.frontier.map((one) => ({ ...one, deliveriesPerSecond: 0 }));
  assert.equal(
    pageOf(WISH, { ...CALIBRATION, frontier: late }).match(/<svg/g)?.length,
    6,
    "nor of what came late",
  );
  const quiet = pageOf({ ...WISH, updates: 0, memoryGiB: 2 });
  assert.match(quiet, /Bound by memory/);
  for (const text of [pageOf(alone), quiet]) assert.doesNotMatch(text, /NaN|Infinity|undefined/);
});
