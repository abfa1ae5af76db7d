import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRoom } from "../protocol/room-name.js";
import { Rig } from "./connection.testkit.js";
import { control, live, message, open, turn } from "./fake-socket.testkit.js";
import { FanwireError } from "./index.js";

const after = (offset: number) => ({ epoch: "e", offset });
const taken = (offset: number, rate?: number) => ({ ...after(offset), recovered: true, rate });

test("another rate is asked for behind the last message, and nothing is missed or doubled", () => {
  const rig = new Rig().open();
  const id = rig.live1("a", 10, { rate: 10 });
  rig.message("a", 11);
  rig.step({ kind: "rate", id, rate: "all" });
  const { ref, options } = rig.sentOne("subscribe");
  assert.deepEqual(options, { after: after(11), rate: "all" });
  rig.ok(ref, taken(11));
  for (const offset of [11, 12, 13]) rig.message("a", offset, 10);
  rig.live("a", 13);
  assert.deepEqual(rig.delivered(id), [11, 12, 13]);
  const rates = rig
    .events(id)
    .flatMap((event) => (event.kind === "subscribed" ? [event.subscribed.rate] : []));
  assert.deepEqual(rates, ["all"]);
});

test("of rates that follow each other quickly the last counts, whatever is answered to the others", () => {
  const rig = new Rig().open();
  const id = rig.live1("a", 10);
  rig.step({ kind: "rate", id, rate: 10 });
  const first = rig.sentOne("subscribe");
  rig.step({ kind: "rate", id, rate: 4 });
  const second = rig.sentOne("subscribe");
  assert.deepEqual(second.options, { after: after(10), rate: 4 });
  rig.receive({
    type: "error",
    ref: first.ref,
    code: "bad_request",
    text: "a later request",
    retryMs: undefined,
  });
  rig.ok(second.ref, taken(10, 4));
  rig.live("a", 10);
  rig.message("a", 11);
  assert.deepEqual(rig.delivered(id), [11]);
  assert.deepEqual(
    rig.events(id).filter(({ kind }) => kind === "error"),
    [],
  );
});

test("a rate set before the connection, or while a refused subscribe waits, is that of the next subscribe", () => {
  const rig = new Rig();
  const id = rig.subscribe("a", { rate: 30 });
  rig.step({ kind: "rate", id, rate: 4 });
  rig.open();
  const { ref, options } = rig.sentOne("subscribe");
  assert.deepEqual(options, { rate: 4 });
  rig.receive({ type: "error", ref, code: "rate_limited", text: "too often", retryMs: 1_000 });
  rig.step({ kind: "rate", id, rate: 1 });
  assert.deepEqual(rig.sent(), []);
  rig.advance(1_000);
  assert.deepEqual(rig.sentOne("subscribe").options, { rate: 1 });
});

test("while the page is hidden what is conflated is in the slowest class, and returns", () => {
  const rig = new Rig().open();
  const board = rig.live1("board", 5, { rate: 30 });
  rig.live1("kept", 5, { rate: 10, slowHidden: false });
  rig.live1("chat", 5);
  rig.step({ kind: "hidden" });
  rig.step({ kind: "hidden" });
  const slow = rig.sentOne("subscribe");
  assert.deepEqual([slow.room, slow.options], ["board", { after: after(5), rate: "slowest" }]);
  rig.ok(slow.ref, taken(5, 1));
  rig.live("board", 5);
  rig.message("board", 9, 5);
  // What is subscribed meanwhile begins slow.
  rig.subscribe("late", { rate: 4 });
  const late = rig.sentOne("subscribe");
  assert.deepEqual(late.options, { rate: "slowest" });
  rig.ok(late.ref, { epoch: "e", offset: 0, recovered: false, rate: 1 });
  rig.live("late", 0);
  rig.step({ kind: "visible" });
  const back = rig.sent();
  assert.deepEqual(
    back.map(({ room, options }) => [room, options]),
    [
      ["board", { after: after(9), rate: 30 }],
      ["late", { after: after(0), rate: 4 }],
    ],
  );
  assert.deepEqual(rig.delivered(board), [9]);
});

test("a subscription says its rate, also where the server moves it by itself", async () => {
  const { client, socket } = open();
  const subscription = client.subscribe("a", { rate: 10 });
  assert.equal(subscription.rate, undefined);
  await turn();
  const result = { ...after(0), recovered: false, rate: 10 };
  socket.receive(control({ type: "ok", ref: socket.ref("subscribe"), result }));
  assert.equal(subscription.rate, 10);
  const told: unknown[] = [];
  subscription.on("rate", (rate) => told.push(rate));
  for (const rate of [1, "all"] as const)
    socket.receive(control({ type: "rate", room: parseRoom("a"), rate }));
  assert.deepEqual([told, subscription.rate], [[1, "all"], "all"]);
  subscription.setRate(4);
  await turn();
  assert.deepEqual(socket.sent.at(-1), {
    type: "subscribe",
    ref: socket.ref("subscribe"),
    room: "a",
    options: { after: after(0), rate: 4 },
  });
  client.close();
});

test("a rate that cannot be is refused at once", () => {
  const { client } = open();
  const subscription = client.subscribe("a");
  for (const rate of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.throws(() => subscription.setRate(rate), FanwireError);
    assert.throws(() => client.subscribe("b", { rate }), /rate is .*: must be a number above 0 or "all"/);
  }
  client.close();
});

test("staleness is the age of a live message by the server's clock", async (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: 1_000_000 });
  const { client, socket } = open();
  const subscription = client.subscribe("a");
  await live(socket);
  assert.equal(subscription.stalenessMs, undefined);
  const ping = client.ping();
  await turn();
  // The server is 5 s ahead.
  socket.receive(control({ type: "ok", ref: socket.ref("ping"), result: { time: 1_005_000 } }));
  const { latencyMs } = await ping;
  assert.ok(Math.abs(client.serverTimeMs - 1_005_000 - latencyMs / 2) < 1);
  socket.receive(message("a", 1, 1, 1_004_000));
  const stale = subscription.stalenessMs ?? Number.NaN;
  assert.ok(Math.abs(stale - 1_000 - latencyMs / 2) < 1, `${stale}`);
  socket.receive(message("a", 2, 2, 1_009_000));
  assert.equal(subscription.stalenessMs, 0);
  client.close();
});
