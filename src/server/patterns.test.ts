import assert from "node:assert/strict";
import { test } from "node:test";
import { CODE } from "../protocol/frames.js";
import { eventually, startRig } from "./gateway-rig.testkit.js";
import { WireClient } from "./wire-client.testkit.js";

const NAMESPACES = { telemetry: {}, other: {} } as const;

test("over real sockets: patterns and rooms that overlap bring each message once, also while they come and go", async (t) => {
  const rig = await startRig(t, { namespaces: NAMESPACES });
  const [one, other] = [await WireClient.open(rig.port), await WireClient.open(rig.port)];
  t.after(() => {
    for (const client of [one, other]) client.destroy();
  });
  await other.subscribe("telemetry.site1.temp");
  assert.deepEqual(await one.subscribe("telemetry.site1.*"), {
    epoch: "",
    offset: 0,
    recovered: false,
  });
  await one.request(CODE.subscribe, "telemetry.>");
  const rooms = ["telemetry.site1.temp", "telemetry.site1.wind", "telemetry.site2.temp"];
  const count = 60;
  const changing = (async () => {
    for (let change = 0; change < count / 4; change += 1) {
      await one.request(CODE.subscribe, "telemetry.site1.temp");
      await one.request(CODE.unsubscribe, "telemetry.site1.*");
      await one.request(CODE.unsubscribe, "telemetry.site1.temp");
      await one.request(CODE.subscribe, "telemetry.site1.*");
    }
  })();
  for (let number = 1; number <= count; number += 1) {
    for (const room of [...rooms, "other.a"]) await rig.publish(room, number);
    await new Promise(setImmediate);
  }
  await changing;
  for (const room of rooms) {
    await eventually(() => one.messages(room).length >= count, `all of ${room}`, 30_000);
    const offsets = one.messages(room).map(({ data }) => data);
    assert.deepEqual(
      offsets,
      Array.from({ length: count }, (_, index) => index + 1),
    );
  }
  assert.deepEqual(one.messages("other.a"), []);
  assert.deepEqual([one.duplicates, one.gaps, rig.counters.patternGaps], [0, 0, 0]);
});
