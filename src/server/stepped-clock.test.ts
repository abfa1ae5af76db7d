import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Engine } from "../core/engine.js";
import { CODE } from "../protocol/frames.js";
import { startRig } from "./gateway-rig.testkit.js";
import type { HttpHandler } from "./http-types.js";
import { RawSocket, within } from "./raw-socket.testkit.js";
import { WireClient } from "./wire-client.testkit.js";

const NAMESPACES = { board: { state: true, history: { messages: 1_000, seconds: 10 ** 9 } } } as const;
const DAY_MS = 86_400_000;
/** What the clock is off by, one after the other. */
const STEPS_MS = [-DAY_MS * 90, 5_000, DAY_MS * 60, -3_600_000, 0, DAY_MS * 2];

/** From now on the clock is set whenever somebody looks at it. */
function setClockAtEveryLook(t: TestContext, offMs: (look: number) => number): void {
  t.mock.restoreAll();
  const { now } = Date;
  let look = 0;
  t.mock.method(Date, "now", () => {
    look += 1;
    return now() + offMs(look);
  });
}

/** The gateway looks at everything about once a second. */
function countSweeps() {
  let done = (): void => undefined;
  const wrapEngine = (engine: Engine): Engine => {
    const sweep = engine.sweep.bind(engine);
    engine.sweep = (nowMs) => {
      sweep(nowMs);
      done();
    };
    return engine;
  };
  const sweeps = async (count: number): Promise<void> => {
    for (let left = count; left > 0; left -= 1)
      await within(new Promise<void>((resolve) => (done = resolve)), "a sweep");
  };
  return { sweeps, wrapEngine };
}

/** One that has sent half of its request. */
async function halfRequest(t: TestContext, port: number): Promise<RawSocket> {
  const socket = await RawSocket.connect(port);
  t.after(() => socket.destroy());
  socket.write("POST /publish HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
  return socket;
}

test("a clock that is set while the server runs delays no message, cuts nobody off, and stops no stop", async (t) => {
  let isAsked = (): void => undefined;
  const asked = new Promise<void>((resolve) => (isAsked = resolve));
  const http: HttpHandler = async ({ path }) => {
    if (path !== "/never") return { status: 200, headers: {}, body: "done" };
    isAsked();
    return new Promise(() => undefined);
  };
  const { sweeps, wrapEngine } = countSweeps();
  const limits = { roomLingerMs: 60_000 };
  const rig = await startRig(t, { namespaces: NAMESPACES, http, limits, wrapEngine });
  const [all, paced] = [await WireClient.open(rig.port), await WireClient.open(rig.port)];
  t.after(() => [all, paced].forEach((client) => void client.destroy()));
  await all.subscribe("board.a");
  await paced.subscribe("board.a", { rate: 10 });
  const half = await halfRequest(t, rig.port);
  setClockAtEveryLook(t, (look) => STEPS_MS[look % STEPS_MS.length] ?? 0);

  for (let number = 1; number <= 30; number += 1) {
    await rig.publish("board.a", number, "k");
    const [code] = await all.request(CODE.ping);
    assert.equal(code, CODE.ok);
    // Each class flushes in its time, whatever the clock says: the last one says that it did.
    if (number % 10 === 0)
      while (paced.messages("board.a").at(-1)?.data !== number)
        await paced.arrived("board.a", paced.messages("board.a").length + 1);
  }
  await all.arrived("board.a", 30);
  for (const client of [all, paced]) assert.deepEqual([client.gaps, client.duplicates], [0, 0]);

  await all.request(CODE.unsubscribe, "board.a");
  await paced.request(CODE.unsubscribe, "board.a");
  await sweeps(2);
  assert.equal(rig.engine.openRooms, 1, "an empty room stays open for its time");
  half.write("cd");
  assert.equal((await half.answer()).status, 200);
  assert.deepEqual(
    [rig.counters.floodCloses, rig.counters.requestsOverRate, rig.gatewayCounters.repliesCut],
    [0, 0, 0],
  );

  const never = await RawSocket.connect(rig.port);
  t.after(() => never.destroy());
  never.write("GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
  await asked;
  setClockAtEveryLook(t, (look) => -DAY_MS * look);
  try {
    await within(rig.gateway.close(400), "the stop to give up what is not answered");
  } finally {
    t.mock.restoreAll();
  }
});
