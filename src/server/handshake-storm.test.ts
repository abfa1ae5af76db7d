import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type Rig, startRig } from "./gateway-rig.testkit.js";
import { handshake, RawSocket } from "./raw-socket.testkit.js";
import { WireClient } from "./wire-client.testkit.js";

/** Handshakes sent together; the answers' statuses, and what those that were refused were told. */
async function storm(
  rig: Rig,
  count: number,
): Promise<{ readonly admitted: number; readonly waits: number[] }> {
  const sockets = await Promise.all(Array.from({ length: count }, () => RawSocket.connect(rig.port)));
  for (const socket of sockets) socket.write(handshake({}));
  const answers = await Promise.all(sockets.map((socket) => socket.answer()));
  const waits: number[] = [];
  for (const [index, { status, headers, body }] of answers.entries()) {
    if (status === 101) continue;
    assert.equal(status, 503);
    const { error } = JSON.parse(body.toString());
    assert.equal(error.code, "unavailable");
    assert.ok(Number(headers.get("retry-after")) * 1_000 >= error.retryMs && error.retryMs >= 500);
    assert.ok(Number.isInteger(Number(headers.get("retry-after"))));
    waits.push(error.retryMs);
    assert.equal(await sockets[index]?.closed, "end");
  }
  for (const socket of sockets) socket.destroy();
  return { admitted: count - waits.length, waits };
}

test("a storm is let in at the allowed rate; the others are told when to come back, and who is there is served", async (t) => {
  const rig = await startRig(t, { gatewayLimits: { handshakesPerSecond: 20 } });
  const client = await WireClient.open(rig.port);
  await client.subscribe("quotes.a");
  const { admitted, waits } = await storm(rig, 200);
  assert.ok(admitted >= 4 && admitted < 100, `${admitted} were admitted`);
  // 20 a second: the last of those sent away have some seconds to wait, in an even stream.
  assert.ok(Math.max(...waits) > 3_000, `told at most ${Math.max(...waits)} ms`);
  assert.equal(rig.gatewayCounters.handshakesOverRate, waits.length);
  assert.equal(rig.gatewayCounters.upgradesRefused, waits.length);
  await rig.publish("quotes.a", 1);
  await client.arrived("quotes.a", 1);
});

test("while the event loop is late nobody is let in; afterwards everybody is", async (t) => {
  const rig = await startRig(t, { gatewayLimits: { handshakeLagMs: 100 } });
  // The loop is watched from the first that comes.
  await storm(rig, 1);
  const socket = await RawSocket.connect(rig.port);
  socket.write(handshake({}));
  // The request is in the kernel; the loop that should read it is this one.
  const endMs = performance.now() + 400;
  while (performance.now() < endMs);
  const { status, body } = await socket.answer();
  assert.equal(status, 503);
  assert.equal(rig.gatewayCounters.handshakesOverLag, 1);
  // As told.
  await sleep(JSON.parse(body.toString()).error.retryMs);
  const again = await storm(rig, 1);
  assert.equal(again.admitted, 1);
});
