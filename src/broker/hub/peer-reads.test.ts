import assert from "node:assert/strict";
import { test } from "node:test";
import { encode } from "@msgpack/msgpack";
import { parseRoom } from "../../protocol/room-name.js";
import { assertChain, Collector } from "../conformance-rig.testkit.js";
import { GatedBroker } from "./gated-broker.testkit.js";
import { DEADLINE_MS, HubKit, until } from "./hub.testkit.js";
import { modelSettings } from "./hub-model.testkit.js";

test("replays of many rooms ask a broker that does not answer again, without a warning", async (t) => {
  const warnings: Error[] = [];
  const warn = (warning: Error) => warnings.push(warning);
  process.on("warning", warn);
  t.after(() => process.off("warning", warn));
  let gate: GatedBroker | undefined;
  const kit = new HubKit({
    broker: { settingsOf: modelSettings },
    wrap: (broker) => {
      gate ??= new GatedBroker(broker);
      return gate;
    },
  });
  t.after(() => kit.dispose());
  await kit.start();
  const link = await kit.linked();
  const rooms = Array.from({ length: 40 }, (_, index) => parseRoom(`long.r${index}`));
  const sinks = rooms.map(() => new Collector(DEADLINE_MS));
  const heads = await Promise.all(
    sinks.map((sink, index) => link.open(rooms[index] ?? parseRoom("none"), sink)),
  );
  await kit.stopHub();
  await until(() => !link.linked);
  for (const room of rooms) await kit.broker.publish({ room, data: encode(0) });
  if (gate !== undefined) gate.failing.history = 2 * rooms.length;
  await kit.start();
  for (const [index, sink] of sinks.entries()) assertChain(await sink.until(1), heads[index]?.offset ?? 0);
  assert.deepEqual(gate?.failing.history, 0);
  // Warnings come in a turn of their own.
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(warnings, []);
});
