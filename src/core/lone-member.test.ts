import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRoom } from "../protocol/room-name.js";
import { crowd, room, say, taken } from "./big-room.testkit.js";
import { EngineRig } from "./engine-rig.testkit.js";

test("who is alone in a lane is on no topic, and on one from the second member on", async () => {
  const { rig, clients } = await crowd(2, { laneSockets: 3 });
  const [first, second] = clients;
  assert.ok(first !== undefined && second !== undefined);
  assert.deepEqual([[...first.socket.topics], [...second.socket.topics]], [["b.0.chat.a"], ["b.0.chat.a"]]);
  say(first, { type: "unsubscribe", ref: 0, room });
  say(second, { type: "unsubscribe", ref: 0, room });
  assert.deepEqual([...first.socket.topics, ...second.socket.topics], []);
  const third = rig.connect();
  await third.subscribe("chat.a");
  assert.deepEqual([...third.socket.topics], []);
  third.socket.take();
  await rig.publish("chat.a", 1);
  await first.subscribe("chat.a", { last: 1 });
  assert.deepEqual(taken([first, third]), [[], ["0>1"]]);
  assert.deepEqual([...third.socket.topics], ["b.0.chat.a"]);
  await rig.publish("chat.a", 2);
  await rig.settle();
  assert.deepEqual(taken([first, third]), [["1>2"], ["1>2"]]);
});

test("a socket that is alone in many rooms gets one write a flush, in chunks of the bound", async () => {
  const rig = new EngineRig();
  const client = rig.connect();
  for (let index = 0; index < 50; index += 1) await client.subscribe(`chat.${index}`);
  client.socket.take();
  client.socket.chunks.length = 0;
  for (let index = 0; index < 50; index += 1) await rig.publish(`chat.${index}`, index);
  await rig.settle();
  assert.equal(client.socket.chunks.length, 1);
  assert.equal(client.socket.take().length, 50);
  const bytes = 1_000;
  const data = Uint8Array.of(0xc5, bytes >> 8, bytes & 255, ...new Uint8Array(bytes));
  for (let index = 0; index < 50; index += 1)
    await rig.broker.publish({ room: parseRoom(`chat.${index}`), data });
  await rig.settle();
  assert.equal(client.socket.take().length, 50);
  assert.equal(client.socket.chunks.length, 5);
  for (const chunk of client.socket.chunks) assert.ok(chunk.length <= 16_000);
  assert.equal(rig.counters.directWrites, 5);
  assert.equal(
    rig.counters.directBytes,
    client.socket.chunks.reduce((sum, chunk) => sum + chunk.length, 0),
  );
});
