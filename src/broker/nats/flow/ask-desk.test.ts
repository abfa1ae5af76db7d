import assert from "node:assert/strict";
import { test } from "node:test";
import { AskDesk, Errand } from "./ask-desk.js";
import { DEFAULT_FLOW_LIMITS } from "./flow-limits.js";

interface Target {
  readonly name: string;
  readonly errand: Errand;
}

const LIMITS = { ...DEFAULT_FLOW_LIMITS, askMs: 1_000, retryMs: 100, retryMsMax: 300 };

function rig(outMax: number): { desk: AskDesk<Target>; sent: string[]; ids: number[]; refuse: Set<string> } {
  const sent: string[] = [];
  const ids: number[] = [];
  const refuse = new Set<string>();
  let last = 0;
  const desk = new AskDesk<Target>(
    outMax,
    LIMITS,
    () => {
      last += 1;
      return last;
    },
    (id, { name }) => {
      if (refuse.has(name)) return false;
      sent.push(name);
      ids.push(id);
      return true;
    },
  );
  return { desk, sent, ids, refuse };
}

const target = (name: string): Target => ({ name, errand: new Errand() });

test("so many are out at once, the others follow in their turn, none twice", () => {
  const { desk, sent, ids } = rig(2);
  const targets = ["a", "b", "c"].map(target);
  for (const one of [...targets, ...targets]) desk.want(one);
  desk.pump(0);
  assert.deepEqual(sent, ["a", "b"]);
  assert.equal(desk.take(ids[0] ?? 0), targets[0]);
  assert.equal(desk.take(ids[0] ?? 0), undefined);
  desk.pump(0);
  assert.deepEqual(sent, ["a", "b", "c"]);
});

test("one that fails is asked again after a pause that grows up to its bound", () => {
  const { desk, sent, ids } = rig(1);
  const one = target("a");
  desk.want(one);
  let nowMs = 0;
  for (const pauseMs of [100, 200, 300, 300]) {
    desk.pump(nowMs);
    const asked = sent.length;
    assert.ok(desk.failed(ids.at(-1) ?? 0, nowMs));
    desk.tick(nowMs + pauseMs - 1);
    desk.pump(nowMs + pauseMs - 1);
    assert.equal(sent.length, asked);
    nowMs += pauseMs;
    desk.tick(nowMs);
  }
  desk.pump(nowMs);
  assert.equal(sent.length, 5);
  assert.equal(desk.failures, 4);
});

test("one without an answer is given up at its deadline, and its answer is late", () => {
  const { desk, sent, ids } = rig(1);
  desk.want(target("a"));
  desk.pump(0);
  desk.tick(999);
  assert.equal(desk.failures, 0);
  desk.tick(1_000);
  assert.equal(desk.failures, 1);
  assert.equal(desk.take(ids[0] ?? 0), undefined);
  desk.tick(1_100);
  desk.pump(1_100);
  assert.deepEqual(sent, ["a", "a"]);
});

test("one that is cancelled is not asked, wherever it stood, and can be wanted again", () => {
  const { desk, sent, ids } = rig(1);
  const [out, waiting, paused] = ["out", "waiting", "paused"].map(target);
  assert.ok(out !== undefined && waiting !== undefined && paused !== undefined);
  desk.want(paused);
  desk.pump(0);
  desk.failed(ids[0] ?? 0, 0);
  desk.want(out);
  desk.want(waiting);
  desk.pump(0);
  for (const one of [out, waiting, paused]) desk.cancel(one);
  desk.tick(5_000);
  desk.pump(5_000);
  assert.deepEqual(sent, ["paused", "out"]);
  desk.want(waiting);
  desk.pump(5_000);
  assert.deepEqual(sent, ["paused", "out", "waiting"]);
  assert.equal(desk.failures, 1);
});

test("wanted now cuts a pause short, held back sends nothing, and who has nothing to ask makes room", () => {
  const { desk, sent, ids, refuse } = rig(1);
  const [one, other] = ["one", "other"].map(target);
  assert.ok(one !== undefined && other !== undefined);
  desk.want(one);
  desk.pump(0);
  desk.failed(ids[0] ?? 0, 0);
  desk.held = true;
  desk.wantNow(one);
  desk.pump(0);
  assert.equal(sent.length, 1);
  desk.held = false;
  refuse.add("one");
  desk.want(other);
  desk.pump(0);
  assert.deepEqual(sent, ["one", "other"]);
  assert.equal(one.errand.state, "none");
});
