import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, type TestContext, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { WebSocket } from "ws";
import { kill, TestNode } from "../supervisor/node.testkit.js";
import { numberOf, startBrowser, textOf, until, type Visit, visit } from "./demo.testkit.js";

const TEST_MS = 120_000;
/** For what a busy machine takes its time for. */
const LONG_MS = 60_000;
const KEY = "0123456789abcdef";
const SECRET = "0123456789abcdef0123456789abcdef";

let browser: Browser;

before(async () => {
  browser = await startBrowser();
});

after(() => browser.close());

async function open(
  t: TestContext,
  { adminUrl }: TestNode,
  viewport = { width: 1_440, height: 900 },
): Promise<Visit> {
  const context = await browser.newContext({ viewport });
  t.after(() => context.close());
  return visit(context, `${adminUrl}/`);
}

async function publish(node: TestNode, items: readonly object[]): Promise<void> {
  const headers = { "content-type": "application/json", authorization: `Bearer ${KEY}` };
  const response = await fetch(`${node.url}/v1/messages`, {
    method: "POST",
    headers,
    body: JSON.stringify(items),
  });
  assert.equal(response.status, 200, await response.text());
}

/** A socket in a room, by hand, so that a test can stop it from reading. */
async function subscriber(t: TestContext, node: TestNode, room: string): Promise<WebSocket> {
  const socket = new WebSocket(`${node.url.replace("http", "ws")}/ws`, "fanwire.v1.json");
  t.after(() => socket.terminate());
  const subscribed = new Promise<void>((resolve) => {
    socket.on("message", (data) => {
      if (String(data).includes("[17,1,")) resolve();
    });
  });
  await once(socket, "open");
  socket.send(JSON.stringify([1, 1, room]));
  await subscribed;
  return socket;
}

const texts = (page: Page, selector: string): Promise<string[]> => page.locator(selector).allTextContents();
const event = async (page: Page, pattern: RegExp): Promise<boolean> =>
  (await texts(page, "#events li span")).some((text) => pattern.test(text));

// Two at a time: what they do most is waiting.
describe("the ops page", { concurrency: 2 }, () => {
  test("an operator sees what the node does, looks into a room, and what becomes of its processes", {
    timeout: TEST_MS,
  }, async (t) => {
    const config = JSON.stringify({ market: { state: true } });
    const node = await TestNode.start(t, {
      args: ["--workers", "2", "--drain-seconds", "1"],
      env: { FANWIRE_NAMESPACES: config },
    });
    await Promise.all([1, 2, 3].map(() => subscriber(t, node, "market.fx")));
    await subscriber(t, node, "chat.hall");
    const { page, problems } = await open(t, node);
    await until("live", async () => (await textOf(page, "#status-text")) === "Live", LONG_MS);
    await until("connections", async () => (await numberOf(page, "#vital-connections")) === 4);
    assert.equal(await page.locator(".charts canvas").count(), 6);
    await until("processes", async () => {
      const rows = await texts(page, "#processes tr");
      return rows.length === 3 && rows.every((row) => row.includes("ready"));
    });
    const names = await texts(page, "#processes th");
    assert.deepEqual(names, ["worker 0", "worker 1", "hub 0"]);
    await until(
      "rooms by subscribers",
      async () =>
        (await texts(page, "#rooms-subscribers button:not([hidden])")).join() === "market.fx3,chat.hall1",
    );
    const quotes = ["EURUSD", "USDJPY"].map((key) => ({ room: "market.fx", key, data: { bid: 1.5 } }));
    await until("rooms by bytes", async () => {
      await publish(node, quotes);
      return (await texts(page, "#rooms-bytes button:not([hidden]) span"))[0] === "market.fx";
    });
    await until("deliveries and how late they are", async () => {
      await publish(node, quotes);
      const [deliveries, p99] = [
        await numberOf(page, "#vital-deliveries"),
        await numberOf(page, "#vital-p99"),
      ];
      return deliveries > 0 && p99 > 0 && (await numberOf(page, "#vital-received")) > 0;
    });

    await page.locator("#rooms-subscribers button").first().click();
    await until("inspected", async () => (await textOf(page, "#inspected-subscribers")) === "3");
    await until("its messages", async () => (await page.locator("#inspected-list li").count()) > 1);
    assert.match(await textOf(page, "#inspected-list li"), /USDJPY\{"bid":1\.5\}/);
    assert.match(await textOf(page, "#inspect-note"), /, on this node\.$/);
    assert.match((await texts(page, "#inspected-workers tr")).join(), /^worker 0\d*/);
    await page.click("#tab-state");
    await until("its state", async () => (await textOf(page, "#inspected-note")) === "All 2 keys.");
    // As a node answers that has others, one of which does not.
    const nodes = [
      { node: "a", subscribers: 3, every: 2, paced: 1, silentWorkers: 0 },
      { node: "b", subscribers: 4, every: 4, paced: 0, silentWorkers: 0 },
      { node: "c", silent: true },
    ];
    const rows = [
      { worker: 0, open: true, subscribers: 3 },
      { worker: 1, open: false, silent: true },
    ];
    await page.route("**/v1/ops/rooms/market.fx", (route) =>
      route.fulfill({ json: { workers: rows, nodes } }),
    );
    await page.fill("#room", "market.fx");
    await page.press("#room", "Enter");
    await until("all nodes", async () => (await textOf(page, "#inspected-subscribers")) === "≥ 7");
    assert.deepEqual(await texts(page, "#inspected-workers tr"), [
      "a321",
      "worker 03000",
      "worker 1no answer",
      "b440",
      "cno answer",
    ]);
    assert.match(await textOf(page, "#inspect-note"), /on this node and 1 other; no answer of c\.$/);
    await page.fill("#room", "no room");
    await page.press("#room", "Enter");
    await until("told", async () => /is not a room name/.test(await textOf(page, "#inspect-note")));

    const { workers, hubs } = await node.status();
    kill(hubs[0]?.pid ?? 0, "SIGKILL");
    await until("the hub's end", () => event(page, /^hub 0 was ended by SIGKILL: it is replaced$/), LONG_MS);
    await until("and another one", () => event(page, /^hub 0 serves/), LONG_MS);
    kill(workers[1]?.pid ?? 0, "SIGKILL");
    await until("the worker's end", () => event(page, /^worker 1 was ended by SIGKILL/), LONG_MS);

    node.signal("SIGSTOP");
    t.after(() => node.signal("SIGCONT"));
    await until("stale", async () => (await textOf(page, "#status-text")) === "Data stale", LONG_MS);
    assert.match(await textOf(page, "#banner"), /What is shown is of then/);
    node.signal("SIGCONT");
    await until("live again", async () => (await textOf(page, "#status-text")) === "Live", LONG_MS);

    await page.click("#drain");
    await until("asked", () => page.locator("#drain-dialog").isVisible());
    assert.equal(await page.locator("#drain-key").isVisible(), false, "no key is needed here");
    await page.click("#drain-cancel");
    assert.equal((await node.status()).state, "running");
    await page.click("#drain");
    await page.click("#drain-go");
    assert.equal((await node.ended()).code, 0);
    await until("gone", async () => (await textOf(page, "#status-text")) === "Data stale", LONG_MS);
    assert.equal(await page.locator("#drain").isDisabled(), true);
    // The browser itself tells of the requests that nobody answered: a refusal of a name, and a node that had ended.
    const unexpected = problems.filter(
      (text) => !/WebSocket connection|ERR_|status of 400|^failed:/.test(text),
    );
    assert.deepEqual(unexpected, []);
  });

  test("where rooms need tokens the page asks for a key, and for another one to drain with", {
    timeout: TEST_MS,
  }, async (t) => {
    const env = { FANWIRE_AUTH_SECRET: SECRET, FANWIRE_API_KEY: KEY };
    const node = await TestNode.start(t, { args: ["--workers", "1", "--drain-seconds", "1"], env });
    await publish(node, [{ room: "chat.hall", data: "hello" }]);
    const { page } = await open(t, node);
    await until("asked", () => page.locator("#door").isVisible());
    assert.equal(await textOf(page, "#vital-connections"), "–");
    await page.fill("#door-key", "wrong-key-wrong-key");
    await page.press("#door-key", "Enter");
    await until("refused", async () => /not one of those configured/.test(await textOf(page, "#door-why")));
    await until("asked again", () => page.locator("#door").isVisible());
    await page.fill("#door-key", KEY);
    await page.press("#door-key", "Enter");
    await until("live", async () => (await textOf(page, "#status-text")) === "Live", LONG_MS);
    assert.equal(await page.locator("#door").isVisible(), false);
    await page.fill("#room", "chat.hall");
    await page.press("#room", "Enter");
    await until("read with the key", async () => /"hello"/.test(await textOf(page, "#inspected-list")));

    await page.click("#drain");
    await page.fill("#drain-key", "wrong-key-wrong-key");
    await page.click("#drain-go");
    await until("told", async () => /not one of those/.test(await textOf(page, "#drain-problem")));
    assert.equal((await node.status()).state, "running");
    await page.fill("#drain-key", KEY);
    await page.click("#drain-go");
    assert.equal((await node.ended()).code, 0);
    assert.equal(await page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])"), "[{},{}]");
  });

  test("a page of another origin reads nothing, follows nothing and drains nothing", {
    timeout: TEST_MS,
  }, async (t) => {
    const node = await TestNode.start(t, { args: ["--workers", "1"] });
    const other = createServer((_, response) => {
      response.setHeader("content-type", "text/html");
      response.end("<!doctype html><title>evil</title>");
    }).listen(0, "127.0.0.1");
    t.after(() => other.close());
    await once(other, "listening");
    const context = await browser.newContext();
    t.after(() => context.close());
    const page = await context.newPage();
    await page.goto(`http://127.0.0.1:${(other.address() as AddressInfo).port}/`);
    const { ticket } = await (await fetch(`${node.adminUrl}/v1/ops/tickets`, { method: "POST" })).json();
    const outcomes = await page.evaluate(
      `(async () => {
      const read = (path, method) => fetch(${JSON.stringify(node.adminUrl)} + path, { method }).then((r) => r.text(), () => "no");
      const blind = await fetch(${JSON.stringify(node.adminUrl)} + "/v1/drain", { method: "POST", mode: "no-cors" }).then(() => "sent", () => "no");
      const socket = await new Promise((done) => {
        const made = new WebSocket(${JSON.stringify(node.adminUrl.replace("http", "ws"))} + "/ws", ["fanwire.v1", "token.${ticket}"]);
        made.onopen = () => done("open");
        made.onerror = () => done("no");
      });
      return [await read("/v1/ops/tickets", "POST"), await read("/v1/ops/rooms/chat.hall"), await read("/v1/node"), blind, socket];
    })()`,
    );
    assert.deepEqual(outcomes, ["no", "no", "no", "sent", "no"]);
    assert.equal((await node.status()).state, "running");
  });

  test("a slow client is named, and on a phone nothing is wider than the screen", {
    timeout: TEST_MS,
  }, async (t) => {
    const node = await TestNode.start(t, { args: ["--workers", "1"] });
    const socket = await subscriber(t, node, "chat.flood");
    socket.pause();
    const { page, problems } = await open(t, node, { width: 390, height: 844 });
    await until("live", async () => (await textOf(page, "#status-text")) === "Live", LONG_MS);
    assert.equal(await textOf(page, "#slow-empty"), "Nobody is slow.");
    const items = Array.from({ length: 60 }, () => ({ room: "chat.flood", data: "x".repeat(14_000) }));
    await until(
      "a slow client",
      async () => {
        await publish(node, items);
        return /lost its flow/.test((await texts(page, "#slow tr")).join());
      },
      LONG_MS,
    );
    await until("told once", () => event(page, /too slow and lost the flow/));
    assert.equal(await page.evaluate("document.documentElement.scrollWidth"), 390);
    const background = (): Promise<unknown> =>
      page.evaluate("getComputedStyle(document.body).backgroundColor");
    const first = await background();
    await page.click("#theme");
    assert.notEqual(await background(), first);
    assert.deepEqual(problems, []);
  });
});
