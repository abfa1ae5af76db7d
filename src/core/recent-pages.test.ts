import assert from "node:assert/strict";
import { test } from "node:test";
import type { ServerFrame } from "../protocol/frames.js";
import { parseRoom } from "../protocol/room-name.js";
import { EngineRig } from "./engine-rig.testkit.js";

const room = parseRoom("chat.a");

function steps(frames: readonly ServerFrame[]): string[] {
  return frames.map((frame) => (frame.type === "message" ? `${frame.prev}>${frame.offset}` : frame.type));
}

async function rigWith(messages: number): Promise<{ rig: EngineRig; epoch: string }> {
  const rig = new EngineRig({ ringMessages: 2, historyMessages: 6 });
  for (let count = 0; count < messages; count += 1) await rig.publish("chat.a", count);
  await rig.settle();
  const { head } = await rig.broker.history(room, "oldest", 1);
  return { rig, epoch: head.epoch };
}

test("who resumes behind somebody else is served by what that one read, and misses nothing that came since", async () => {
  const { rig, epoch } = await rigWith(9);
  const resume = async (offset: number) => {
    const client = rig.connect();
    client.socket.take();
    return steps(await client.subscribe("chat.a", { after: { epoch, offset } }));
  };
  assert.deepEqual(await resume(4), ["ok", "4>5", "5>6", "6>7", "7>8", "8>9", "live"]);
  assert.equal(rig.counters.historyReads, 1);
  assert.deepEqual(await resume(6), ["ok", "6>7", "7>8", "8>9", "live"]);
  assert.equal(rig.counters.historyReads, 1);
  // More than the ring holds.
  for (let count = 10; count <= 14; count += 1) await rig.publish("chat.a", count);
  await rig.settle();
  assert.deepEqual(await resume(8).then((all) => all.slice(1, -1)), [
    "8>9",
    "9>10",
    "10>11",
    "11>12",
    "12>13",
    "13>14",
  ]);
  // Before what was read, and of a page that did not come to the end.
  assert.deepEqual((await resume(1)).length, 15);
  assert.ok(rig.counters.historyShared >= 2 && rig.counters.historyReads >= 3);
});

test("what was read is forgotten after a moment", async () => {
  const { rig, epoch } = await rigWith(5);
  const client = rig.connect();
  await client.subscribe("chat.a", { after: { epoch, offset: 2 } });
  const reads = rig.counters.historyReads;
  await rig.advance(1_000);
  await rig.settle();
  await rig.connect().subscribe("chat.a", { after: { epoch, offset: 3 } });
  assert.ok(rig.counters.historyReads > reads);
  assert.equal(rig.counters.historyShared, 0);
});
