import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, startRig } from "./gateway-rig.testkit.js";
import type { HttpHandler } from "./http-types.js";
import { RawSocket } from "./raw-socket.testkit.js";

const MIB = 1_048_576;
/** More than the kernel's buffers of both ends take. */
const LARGE_BYTES = 24 * MIB;

/** `/SIZE` is answered with so many bytes, in memory of their own. */
const sized: HttpHandler = async ({ path }) => ({
  status: 200,
  headers: {},
  body: Buffer.alloc(Number(path.slice(1)), path),
});

const get = (bytes: number): string => `GET /${bytes} HTTP/1.1\r\nHost: a\r\n\r\n`;

async function asking(port: number, bytes: number): Promise<RawSocket> {
  const raw = await RawSocket.connect(port);
  raw.pause();
  raw.write(get(bytes));
  return raw;
}

test("who asks for much, again and again, and reads nothing costs little memory and nobody else", async (t) => {
  const rig = await startRig(t, { http: sized });
  const before = process.memoryUsage.rss();
  const greedy = await RawSocket.connect(rig.port);
  greedy.pause();
  greedy.write(get(1.2 * MIB).repeat(600));
  await eventually(() => rig.gatewayCounters.httpRequests > 1, "the greedy one's requests");
  const bystander = await RawSocket.connect(rig.port);
  bystander.write(get(100));
  assert.equal((await bystander.answer()).body.length, 100);
  const growth = process.memoryUsage.rss() - before;
  assert.ok(growth < 100 * MIB, `${growth} bytes more`);
  assert.ok(rig.gatewayCounters.httpRequests < 30, `${rig.gatewayCounters.httpRequests} requests were taken`);
  greedy.resume();
  assert.ok(await greedy.closed);
});

test("small replies do not pile up either", async (t) => {
  const rig = await startRig(t, { http: sized });
  const greedy = await RawSocket.connect(rig.port);
  greedy.pause();
  for (let round = 0; round < 20 && !greedy.isClosed; round += 1) {
    greedy.write(get(10_000).repeat(500));
    const bystander = await RawSocket.connect(rig.port);
    bystander.write(get(1));
    await bystander.answer();
    bystander.destroy();
  }
  // 10,000 were asked for: 100 MB.
  assert.ok(rig.gatewayCounters.httpRequests < 2_500, `${rig.gatewayCounters.httpRequests} were taken`);
});

test("a large reply comes whole to one who reads late, and the connection goes on", async (t) => {
  const rig = await startRig(t, { http: sized });
  const raw = await asking(rig.port, LARGE_BYTES);
  await eventually(() => rig.gatewayCounters.httpRequests === 1, "the request");
  raw.resume();
  const { body } = await raw.answer();
  assert.ok(body.equals(Buffer.alloc(LARGE_BYTES, `/${LARGE_BYTES}`)));
  raw.write(get(10));
  assert.equal((await raw.answer()).body.length, 10);
});

test("replies that wait are bounded together, and one that is taken makes room", async (t) => {
  const rig = await startRig(t, { http: sized, gatewayLimits: { repliesBytes: 2.5 * LARGE_BYTES } });
  const slow = [await asking(rig.port, LARGE_BYTES), await asking(rig.port, LARGE_BYTES)];
  await eventually(() => rig.gatewayCounters.httpRequests === 2, "two requests");
  const third = await RawSocket.connect(rig.port);
  third.write(get(LARGE_BYTES));
  const refused = await third.answer();
  assert.equal(refused.status, 503);
  assert.equal(refused.headers.get("connection"), "close");
  assert.match(refused.body.toString(), /"unavailable"/);
  assert.equal(await third.closed, "end");

  const small = await RawSocket.connect(rig.port);
  small.write(get(16_384));
  assert.equal((await small.answer()).status, 200);

  slow[0]?.resume();
  assert.equal((await slow[0]?.answer())?.body.length, LARGE_BYTES);
  slow[1]?.destroy();
  small.write(get(LARGE_BYTES));
  assert.equal((await small.answer()).status, 200);
});

test("a reply that is not taken is cut at its deadline", async (t) => {
  const rig = await startRig(t, { http: sized, gatewayLimits: { replyMs: 300 } });
  const raw = await asking(rig.port, LARGE_BYTES);
  await eventually(() => rig.gatewayCounters.repliesCut === 1, "the cut");
  raw.resume();
  await assert.rejects(raw.answer(), /over/);
  assert.equal(rig.gatewayCounters.faults, 0);
});
