import assert from "node:assert/strict";
import { test } from "node:test";
import { createMessage } from "../protocol/message.js";
import { parseRoom } from "../protocol/room-name.js";
import { Flow, goalFrom, messagesBetween, type Point } from "./flow.js";

const room = parseRoom("chat.a");
const message = (offset: number) =>
  createMessage({ room, offset, prev: offset - 1, time: 0, data: Uint8Array.of(1) });
const at = (epoch: string, offset: number) => ({ epoch, offset });

/** Offsets from a point to the end, a reset as its epoch, in the order of the flushes. */
function walk(from: Point): (number | string)[][] {
  const flushes: (number | string)[][] = [];
  for (let point = from; point.next !== undefined; ) {
    const goal = goalFrom(point);
    const flush: (number | string)[] = messagesBetween(point, goal).map(({ offset }) => offset);
    if (goal.reset !== undefined) flush.push(goal.position.epoch);
    flushes.push(flush);
    point = goal;
  }
  return flushes;
}

test("a flush goes to the first reset or to the end", () => {
  const flow = new Flow(at("e", 0), 0);
  const start = flow.enter();
  flow.append([message(1)], undefined, at("e", 1));
  flow.append([message(2), message(3)], undefined, at("e", 3));
  flow.append([message(4)], "epoch", at("f", 0));
  flow.append([], "purged", at("g", 0));
  flow.append([message(1)], undefined, at("g", 1));
  assert.deepEqual(walk(start), [[1, 2, 3, 4, "f"], ["g"], [1]]);
  assert.equal(goalFrom(start).resets, 1);
  assert.deepEqual([flow.last.position, flow.last.resets], [at("g", 1), 2]);
  assert.equal(goalFrom(flow.last), flow.last);
});

test("a message is kept until the slowest lane has passed it, and no longer", () => {
  const flow = new Flow(at("e", 0), 0);
  const slow = flow.enter();
  const fast = flow.enter();
  flow.append([message(1)], undefined, at("e", 1));
  const first = flow.last;
  flow.append([message(2)], undefined, at("e", 2));
  const second = flow.last;
  flow.move(fast, second);
  assert.deepEqual(walk(slow), [[1, 2]]);
  flow.move(slow, first);
  assert.deepEqual([walk(slow), first.messages, walk(first)], [[], [], [[2]]]);
  const late = flow.enter();
  flow.append([message(3)], undefined, at("e", 3));
  assert.deepEqual([walk(first), walk(late)], [[[2, 3]], [[3]]]);
  flow.leave(first);
  assert.deepEqual([walk(first), walk(late)], [[], [[3]]]);
});

test("where nobody stands nothing is kept", () => {
  const flow = new Flow(at("e", 0), 0);
  const start = flow.last;
  flow.append([message(1)], undefined, at("e", 1));
  assert.deepEqual(walk(start), []);
  assert.deepEqual([flow.last.position, flow.last.messages], [at("e", 1), []]);
});
