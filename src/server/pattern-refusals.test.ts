import assert from "node:assert/strict";
import { test } from "node:test";
import { CODE } from "../protocol/frames.js";
import { SECRET, tokenOf } from "./auth/tokens.testkit.js";
import { startTestServer } from "./bystander.testkit.js";
import { startRig } from "./gateway-rig.testkit.js";
import { type Value, WireClient } from "./wire-client.testkit.js";

const refused = ([code, , why, text]: Value): string => {
  assert.equal(code, CODE.error, "it is refused");
  return `${why}: ${text}`;
};

test("over real sockets: patterns that a token does not contain, that ask for more, or are too many are refused; a new token takes them away", async (t) => {
  const { port } = await startTestServer(t, {
    auth: { secret: SECRET },
    namespaces: { chat: { publish: "client" }, open: { anonymous: "s", publish: "client" } },
    limits: { patternsPerConnection: 3 },
  });
  const open = async (rooms: readonly (readonly [string, string])[]): Promise<WireClient> => {
    const token = await tokenOf({ rooms });
    const client = await WireClient.open(port, { headers: { Authorization: `Bearer ${token}` } });
    t.after(() => client.destroy());
    return client;
  };
  const publisher = await open([[">", "p"]]);
  const one = await open([
    ["chat.a.>", "s"],
    ["chat.b.*", "s"],
    ["chat.c.>", "p"],
  ]);
  const ask = (pattern: string, options: object = {}) => one.request(CODE.subscribe, pattern, options);
  for (const pattern of [">", "chat.>", "chat.*.x", "chat.b.>", "chat.c.*", "*.a.x"])
    assert.match(
      refused(await ask(pattern)),
      /^forbidden: .*one of its grants must contain the pattern/,
      pattern,
    );
  for (const options of [
    { last: 1 },
    { after: ["e", 1] },
    { state: true },
    { echo: false },
    { members: true },
  ])
    assert.match(
      refused(await ask("chat.a.*", options)),
      /^bad_request: .*live only/,
      JSON.stringify(options),
    );
  assert.match(refused(await ask("chat.a*")), /^room_invalid/);
  assert.match(refused(await one.request(CODE.publish, "chat.c.*", 1)), /^room_invalid/);
  // Of a namespace that is open to everybody it needs no grant.
  for (const pattern of ["chat.a.*", "chat.b.*", "open.>"]) await one.subscribe(pattern);
  assert.match(refused(await ask("chat.a.x.*")), /^too_many_rooms: .*3 patterns, its limit/);
  // One that it has takes no place.
  await one.subscribe("chat.a.*");

  const publish = async (data: number): Promise<void> => {
    for (const room of ["chat.a.x", "chat.b.x", "chat.c.x", "open.x"])
      assert.equal((await publisher.request(CODE.publish, room, data))[0], CODE.ok);
  };
  const got = (room: string): unknown[] => one.messages(room).map(({ data }) => data);
  await publish(1);
  for (const room of ["chat.a.x", "chat.b.x", "open.x"]) await one.arrived(room, 1);
  const token = await tokenOf({ rooms: [["chat.a.>", "s"]] });
  assert.equal((await one.request(CODE.authenticate, token))[0], CODE.ok);
  const isEnd = ([code, ref]: Value): boolean => code === CODE.error && ref === 0;
  const [, , why, , , pattern] = await one.find(isEnd, "the end of a pattern");
  assert.deepEqual([why, pattern], ["forbidden", "chat.b.*"]);
  await publish(2);
  await one.arrived("chat.a.x", 2);
  await one.arrived("open.x", 2);
  // It has made place.
  await one.subscribe("chat.a.x.*");
  assert.deepEqual(["chat.a.x", "chat.b.x", "chat.c.x", "open.x"].map(got), [[1, 2], [1], [], [1, 2]]);
  assert.deepEqual(one.values.filter(isEnd), []);
});

test("over real sockets: a slow reader of patterns is told that it was dropped, begins anew, and others miss nothing", async (t) => {
  const rig = await startRig(t, { namespaces: { telemetry: {} } });
  const [fast, slow] = [await WireClient.open(rig.port), await WireClient.open(rig.port)];
  t.after(() => {
    for (const client of [fast, slow]) client.destroy();
  });
  await fast.subscribe("telemetry.>");
  await slow.subscribe("telemetry.*");
  await slow.subscribe("telemetry.a.>");
  slow.ws.raw.pause();
  // The kernel's buffers take some megabytes before anything waits here.
  const data = "x".repeat(15_000);
  let count = 0;
  for (; rig.counters.lagged + rig.counters.dropped === 0 || count % 20 > 0; count += 1) {
    assert.ok(count < 2_000, "a socket that reads nothing should have been dropped");
    await rig.publish("telemetry.x", data);
    if (count % 20 === 19) await fast.arrived("telemetry.x", count + 1);
  }
  slow.ws.raw.resume();
  await slow.find(([code]) => code === CODE.lagged, "to be told");
  const before = slow.messages("telemetry.x").length;
  assert.ok(before > 0 && before < count, `${before} of ${count} came`);
  assert.equal(slow.duplicates, 0);
  // Nothing comes by patterns that it has not asked for again.
  await slow.subscribe("telemetry.*");
  for (const room of ["telemetry.a.y", "telemetry.y"]) await rig.publish(room, 1);
  await slow.arrived("telemetry.y", 1);
  assert.deepEqual(slow.messages("telemetry.a.y"), []);
  await slow.subscribe("telemetry.a.>");
  await rig.publish("telemetry.a.z", 1);
  await slow.arrived("telemetry.a.z", 1);
  await fast.arrived("telemetry.a.z", 1);
  assert.deepEqual([fast.gaps, fast.duplicates, fast.messages("telemetry.x").length], [0, 0, count]);
  assert.equal(rig.counters.lagged, 1);
});
