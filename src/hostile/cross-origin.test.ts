import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { TestNode } from "../supervisor/node.testkit.js";
import { startBrowser, visit } from "../web/demo.testkit.js";

/** What a page found out about the node. */
interface Findings {
  readonly socket: string;
  readonly read: string;
  readonly plainPost: string;
  readonly jsonPost: string;
  readonly formPost: string;
}

/** Runs in the page. */
const PROBE = `async (node) => {
  const tried = (promise) => promise.then((answer) => "answer " + answer.status + answer.type, (error) => "error " + error.name);
  const socket = await new Promise((resolve) => {
    const ws = new WebSocket(node.replace("http", "ws") + "/ws", "fanwire.v1.json");
    ws.onopen = () => resolve("open");
    ws.onclose = ({ code }) => resolve("closed " + code);
  });
  const room = node + "/v1/rooms/cursors.x/messages";
  const read = await tried(fetch(node + "/healthz"));
  const plainPost = await tried(fetch(room, { method: "POST", headers: { "content-type": "text/plain" }, body: "1", mode: "no-cors" }));
  const jsonPost = await tried(fetch(room, { method: "POST", headers: { "content-type": "application/json" }, body: "1" }));
  const formPost = await tried(fetch(room, { method: "POST", body: new URLSearchParams({ a: "1" }), mode: "no-cors" }));
  return { socket, read, plainPost, jsonPost, formPost };
}`;

/** A page of another origin. */
async function page(t: TestContext): Promise<string> {
  const server = createServer((_, response) =>
    response.setHeader("content-type", "text/html").end("<!doctype html>"),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  return `http://127.0.0.1:${port}/`;
}

test("a page of another origin, in a real browser, gets no socket, reads nothing and writes nothing", {
  timeout: 120_000,
}, async (t) => {
  const env = { FANWIRE_LIMITS_HANDSHAKE_LAG_MS: "60000" };
  const node = await TestNode.start(t, { args: ["--workers", "1", "--demo"], env });
  const browser = await startBrowser();
  t.after(() => browser.close());
  const probe = async (origin: string): Promise<Findings> => {
    const visited = await visit(await browser.newContext(), origin);
    return visited.page.evaluate<Findings>(`(${PROBE})(${JSON.stringify(node.url)})`);
  };
  const foreign = await probe(await page(t));
  assert.deepEqual(foreign, {
    socket: "closed 1006",
    read: "error TypeError",
    plainPost: "answer 0opaque",
    jsonPost: "error TypeError",
    formPost: "answer 0opaque",
  });
  const { workers } = await node.until(
    "beaten",
    ({ workers: all }) => Number(all[0]?.report?.counters.gateway.upgradesRefused) > 0,
  );
  const published = Number(workers[0]?.report?.counters.engine.published);
  assert.equal(published, 0, "what such a page may send without asking is not taken as a message");
  const own = await probe(`${node.url}/`);
  assert.deepEqual([own.socket, own.read, own.jsonPost], ["open", "answer 200basic", "answer 200basic"]);
});

test("a page may not be shown within another one", { timeout: 120_000 }, async (t) => {
  const node = await TestNode.start(t, { args: ["--workers", "1", "--demo"] });
  const browser = await startBrowser();
  t.after(() => browser.close());
  const { page: outer } = await visit(await browser.newContext(), await page(t));
  const shown = await outer.evaluate<boolean>(`new Promise((resolve) => {
    const frame = document.createElement("iframe");
    frame.onload = () => { try { resolve(frame.contentDocument !== null); } catch { resolve(false); } };
    frame.src = ${JSON.stringify(`${node.url}/`)};
    document.body.append(frame);
  })`);
  assert.equal(shown, false);
  const frames = await Promise.all(
    outer
      .frames()
      .slice(1)
      .map((frame) => frame.locator("#status-text").count()),
  );
  assert.deepEqual(frames, [0], "there is no page of ours within");
});
