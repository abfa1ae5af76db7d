import assert from "node:assert/strict";
import { test } from "node:test";
import type { ServerFrame } from "../protocol/frames.js";
import { namespaceOf } from "../protocol/room-name.js";
import { EngineRig } from "./engine-rig.testkit.js";

/** Namespaces that are in an outage, with its number. */
function rigWith(out: ReadonlyMap<string, number>): EngineRig {
  const outages = {
    get isAny() {
      return out.size > 0;
    },
    outageOf: (room: Parameters<typeof namespaceOf>[0]) => out.get(namespaceOf(room)),
  };
  return new EngineRig({}, (broker) => broker, {}, outages);
}

const errors = (frames: readonly ServerFrame[]): string[] =>
  frames.flatMap((frame) => (frame.type === "error" ? [`${frame.ref} ${frame.code}: ${frame.text}`] : []));

test("who has rooms in an outage is told once, naming their namespaces; the others are not", async () => {
  const out = new Map<string, number>();
  const rig = rigWith(out);
  const [concerned, other] = [rig.connect(), rig.connect()];
  for (const room of ["chat.a", "chat.b", "keyed.a", "short.a"]) await concerned.subscribe(room);
  await other.subscribe("short.a");
  out.set("chat", 1);
  out.set("keyed", 2);
  for (let times = 0; times < 2; times += 1)
    for (const { session } of [concerned, other]) session.tellOutage();
  const [told, ...more] = errors(concerned.socket.take());
  assert.match(told ?? "", /^0 unavailable: rooms of chat, keyed get nothing new/);
  assert.deepEqual(more, []);
  assert.deepEqual(errors(other.socket.take()), []);
  assert.equal(rig.counters.outagesTold, 1);
});

test("who comes into a room in an outage is told with the answer, and of the next outage again", async () => {
  const out = new Map([["chat", 1]]);
  const rig = rigWith(out);
  const client = rig.connect();
  client.socket.take();
  const frames = await client.subscribe("chat.a");
  assert.deepEqual(
    frames.map(({ type }) => type),
    ["ok", "error", "live"],
  );
  assert.deepEqual(errors(await client.subscribe("chat.b")), []);
  out.clear();
  client.session.tellOutage();
  out.set("chat", 2);
  client.session.tellOutage();
  assert.equal(errors(client.socket.take()).length, 1);
});
