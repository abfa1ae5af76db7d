import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { promisify } from "node:util";
import { chromium } from "playwright-core";
import { TcpProxy } from "../../client/tcp-proxy.testkit.js";
import { eventually, startRig } from "../gateway-rig.testkit.js";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = [
  ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
  ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
];
const COUNT = 300;

test("a browser's EventSource resumes by itself over cuts, nothing missing and nothing twice", {
  timeout: 120_000,
}, async (t) => {
  assert.ok(existsSync(CHROMIUM), `${CHROMIUM} is missing: apt-get install chromium, or set CHROMIUM`);
  const rig = await startRig(t, {
    http: async () => ({ status: 200, headers: { "content-type": "text/html" }, body: "<!doctype html>" }),
  });
  const proxy = await TcpProxy.start(t, rig.port);
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${proxy.port}/`);
  await page.evaluate(`
    globalThis.got = [];
    globalThis.opened = 0;
    globalThis.source = new EventSource("/v1/events?room=a.b&room=c");
    source.onmessage = ({ data }) => got.push(JSON.parse(data));
    source.addEventListener("live", () => opened++);
  `);
  const read = async (): Promise<number[]> => page.evaluate("got.map(({ data }) => data)");
  await page.waitForFunction("opened >= 2");
  for (let number = 1; number <= COUNT; number += 1) {
    await rig.publish("a.b", number);
    if (number === 100) proxy.cutAfter(777);
    // The cut is in the middle of whatever comes then: those after it are missed at first.
    if (number === 200) proxy.cut();
  }
  await page.waitForFunction(`got.length >= ${COUNT}`, undefined, { timeout: 60_000 });
  assert.deepEqual(
    await read(),
    Array.from({ length: COUNT }, (_, index) => index + 1),
  );
  assert.ok(proxy.connections >= 3);
  await page.evaluate("source.close()");
  await eventually(() => rig.counters.connections === 0, "the stream to end");
  assert.equal(rig.gatewayCounters.faults, 0);
});

test("curl reads it", async (t) => {
  const rig = await startRig(t);
  for (const number of [1, 2, 3]) await rig.publish("a.b", { number });
  const args = ["-sN", "--max-time", "2", `http://127.0.0.1:${rig.port}/v1/events?room=a.b&last=2`];
  // It is told to end by its time.
  const { stdout } = await promisify(execFile)("curl", args).catch((cause: { stdout: string }) => cause);
  assert.match(stdout, /^retry: \d+\n\nid: \S+:1\nevent: subscribed\n/);
  assert.match(stdout, /\nid: \S+:3\ndata: {"room":"a\.b","offset":3,"time":\d+,"data":{"number":3}}\n\n/);
});
