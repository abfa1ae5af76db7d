import assert from "node:assert/strict";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { WebSocket } from "ws";
import { freePort } from "../server/raw-socket.testkit.js";
import { Audience, Publisher } from "../supervisor/audience.testkit.js";
import { TestNode } from "../supervisor/node.testkit.js";
import { type ProxyKind, startProxy, type Upstream } from "./proxies.testkit.js";

const KINDS: readonly ProxyKind[] = ["haproxy", "nginx"];
const ROOMS = ["news.a", "news.b"];

const upstreamOf = ({ port, adminUrl }: TestNode): Upstream => ({
  port,
  adminPort: Number(new URL(adminUrl).port),
});

/** Nobody is there. */
async function nobody(): Promise<Upstream> {
  return { port: await freePort(), adminPort: await freePort() };
}

async function proxied(
  t: TestContext,
  kind: ProxyKind,
  args: readonly string[] = [],
  clientAddress?: string,
): Promise<{ readonly url: string; readonly node: TestNode }> {
  const node = await TestNode.start(t, { args: ["--workers", "1", ...args] });
  const url = await startProxy(t, kind, [await nobody(), upstreamOf(node), await nobody()], clientAddress);
  return { url, node };
}

for (const kind of KINDS) {
  test(`${kind}: sockets and publishes come through, past nodes that are down`, async (t) => {
    const { url } = await proxied(t, kind);
    const audience = await Audience.open(t, url, 20, ROOMS);
    const publisher = new Publisher(t, url, ROOMS);
    await publisher.more(100);
    await audience.gotAll(await publisher.stop());
  });

  test(`${kind}: the client's address is the one that it tells, whatever the client says`, async (t) => {
    const args = ["--proxies.trusted", "127.0.0.1", "--limits.connections-per-address", "3"];
    const { url } = await proxied(t, kind, args, "198.51.100.7");
    const handshake = async (index: number): Promise<string> => {
      const headers = { "X-Forwarded-For": `203.0.113.${index}` };
      const socket = new WebSocket(`${url.replace("http", "ws")}/ws`, "fanwire.v1", { headers });
      t.after(() => socket.terminate());
      const [what, status] = await Promise.race([
        once(socket, "open").then(() => ["open", 101]),
        once(socket, "unexpected-response").then(([, response]) => ["refused", response.statusCode]),
      ]);
      return `${what} ${status}`;
    };
    const answers: string[] = [];
    for (let index = 0; index < 4; index += 1) answers.push(await handshake(index));
    assert.deepEqual(answers, ["open 101", "open 101", "open 101", "refused 429"]);
  });

  test(`${kind}: events come through as they happen, and nothing in between cuts a quiet stream`, async (t) => {
    const { url } = await proxied(t, kind);
    const publish = (text: string) =>
      fetch(`${url}/v1/rooms/news.a/messages`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(text),
      });
    const ended = new AbortController();
    t.after(() => ended.abort());
    const response = await fetch(`${url}/v1/events?room=news.a`, { signal: ended.signal });
    assert.equal(response.headers.get("content-type"), "text/event-stream; charset=utf-8");
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader() ?? assert.fail("no body");
    let text = "";
    const until = async (pattern: RegExp): Promise<void> => {
      while (!pattern.test(text)) {
        const { done, value } = await reader.read();
        if (done) assert.fail(`the stream ended: ${text}`);
        text += value;
      }
    };
    await until(/event: live\n/);
    await publish("first");
    // One that waits for a buffer to fill would never come.
    await until(/"data":"first"/);
    await until(/\n:\n/);
    await publish("second");
    await until(/"data":"second"/);
  });
}
