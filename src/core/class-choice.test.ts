import assert from "node:assert/strict";
import { test } from "node:test";
import { member, messagesOf } from "./classes.testkit.js";
import { EngineRig } from "./engine-rig.testkit.js";
import { RATE_CHANGES_MIN } from "./rate-changes.js";
import { slowestOf } from "./settings.js";

test("repeating subscribe after the last position moves to another class without a hole", async () => {
  const rig = new EngineRig();
  const client = rig.connect();
  client.socket.take();
  const [ok] = await client.subscribe("keyed.a", { rate: 1 });
  const { epoch } = ((ok ?? assert.fail()) as unknown as { result: { epoch: string } }).result;
  let offset = 0;
  const offsets: number[] = [];
  for (const rate of ["all", 10, "all", 1, 30, "all"] as const) {
    for (let count = 0; count < 3; count += 1) await rig.publish("keyed.a", 1, `k${count}`);
    await rig.settle();
    const frames = [
      ...client.socket.take(),
      ...(await client.subscribe("keyed.a", { rate, after: { epoch, offset } })),
    ];
    for (const frame of messagesOf(frames)) {
      if (frame.offset <= offset) continue;
      assert.ok(frame.prev <= offset, `${frame.prev} follows ${offset}`);
      offset = frame.offset;
      offsets.push(offset);
    }
  }
  await rig.advance(1_000);
  assert.equal(offset, 18);
  assert.equal(rig.counters.rateChanges, 6);
  const lastOf = (key: number) => offsets.filter((each) => each % 3 === (key + 1) % 3).at(-1);
  assert.deepEqual([lastOf(0), lastOf(1), lastOf(2)], [16, 17, 18]);
});

test("a rate that the namespace does not allow is refused, told what is allowed, and counted", async () => {
  const rig = new EngineRig();
  const client = rig.connect();
  client.socket.take();
  const [error] = await client.subscribe("paced.a", { rate: 30 });
  assert.equal(error?.type === "error" && error.code, "bad_request");
  assert.match(error?.type === "error" ? error.text : "", /rate: 30 .*: 10, 2/);
  const [all] = await client.subscribe("paced.a", { rate: "all" });
  assert.equal(all?.type, "error");
  assert.equal(rig.counters.ratesRefused, 2);
  const [ok] = await client.subscribe("paced.a");
  assert.equal(ok?.type === "ok" && (ok.result as { rate?: number }).rate, 2, "the namespace's own class");
});

test("the slowest class may be asked for without knowing it", async () => {
  const rig = new EngineRig();
  const client = rig.connect();
  client.socket.take();
  for (const [room, rate] of [
    ["paced.a", 2],
    ["chat.a", 1],
  ] as const) {
    const [ok] = await client.subscribe(room, { rate: "slowest" });
    assert.equal(ok?.type === "ok" && (ok.result as { rate?: number }).rate, rate);
  }
  assert.equal(slowestOf(["all"]), "all");
});

test("a connection that flips rates is refused, and the others do not notice", async () => {
  const rig = new EngineRig();
  const [flipper, other] = [rig.connect(), await member(rig, "keyed.a", 10)];
  flipper.socket.take();
  const codes = new Map<string, number>();
  for (let count = 0; count < 1_000; count += 1) {
    rig.nowMs += 1;
    const [answer] = await flipper.subscribe("keyed.a", { rate: count % 2 === 0 ? 1 : 30 });
    const code = answer?.type === "error" ? answer.code : "ok";
    codes.set(code, (codes.get(code) ?? 0) + 1);
  }
  const refused = codes.get("rate_limited") ?? 0;
  assert.ok(refused > 0, "refused");
  assert.equal(rig.counters.rateChangesRefused, refused);
  // One that is refused has no subscription left, so that the next is no change.
  assert.ok(rig.counters.rateChanges - refused <= RATE_CHANGES_MIN + 2, `${rig.counters.rateChanges}`);
  await rig.publish("keyed.a", 1, "a");
  await rig.advance(100);
  assert.equal(messagesOf(other.socket.take()).length, 1);
});
