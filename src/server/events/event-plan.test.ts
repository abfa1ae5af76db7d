import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Position } from "../../protocol/frames.js";
import { idOf, planOf } from "./event-plan.js";
import { EventStreams, type Stream } from "./event-streams.js";
import { FollowedRoom } from "./followed-room.js";

const positions = fc.option(
  fc.record(
    {
      epoch: fc.string({ minLength: 1, maxLength: 16, unit: "binary" }),
      offset: fc.nat({ max: 2 ** 53 - 1 }),
    },
    { noNullPrototype: true },
  ),
  { nil: undefined },
);

test("an id is one line that brings every position back, whatever the epoch is", () => {
  fc.assert(
    fc.property(fc.array(positions, { minLength: 1, maxLength: 8 }), (all: (Position | undefined)[]) => {
      const id = idOf(all);
      assert.match(id, /^[!-~]*$/);
      const query = all.map((_, index) => `room=a.${index}`).join("&");
      const plan = planOf(query, id);
      assert.deepEqual(
        plan.map(({ after }) => after),
        id === "" ? all.map(() => undefined) : all,
      );
    }),
  );
});

test("options are read, the header goes before the parameter", () => {
  const options = { state: true, rate: 4, members: true };
  assert.deepEqual(planOf("room=a&state=true&rate=4&members=true&lastEventId=e:1&token=x", "f:2"), [
    { name: "a", after: { epoch: "f", offset: 2 }, options },
  ]);
  assert.deepEqual(planOf("room=a&rate=slowest&last=3&lastEventId=e:1", "")[0]?.after, {
    epoch: "e",
    offset: 1,
  });
});

const subscribing = (value: unknown): string => `subscribe=${encodeURIComponent(JSON.stringify(value))}`;

test("each room may have options of its own; a position of an id goes before that of the options", () => {
  const items = [
    ["a", { rate: 10, after: ["e", 7] }],
    ["b"],
    ["c", { state: true, members: true, info: { name: "ann" } }],
    ["d", { after: ["e", 8] }],
  ];
  const options = [{ rate: 10 }, {}, { state: true, members: true, info: { name: "ann" } }, {}];
  const plan = (id: string, after: readonly unknown[]) => {
    const rooms = options.map((own, index) => ({ name: "abcd"[index], after: after[index], options: own }));
    assert.deepEqual(planOf(subscribing(items), id), rooms);
  };
  const [at7, at8, at9] = [7, 8, 9].map((offset) => ({ epoch: "e", offset }));
  plan("", [at7, undefined, undefined, at8]);
  plan("e:9,,,", [at9, undefined, undefined, at8]);
});

test("what is wrong with options of rooms is told", () => {
  const bad: readonly (readonly [unknown, RegExp])[] = [
    [{ a: 1 }, /subscribe is JSON, \[\["ROOM"/],
    [["a"], /subscribe is JSON/],
    [[["a", {}, 1]], /subscribe is JSON/],
    [[], /1 to 100 rooms/],
    [[["a"], ["a"]], /each once/],
    [Array.from({ length: 101 }, (_, index) => [`a.${index}`]), /101 rooms, at most 100/],
    [[["a b"]], /room/],
    [[["a", 5]], /options are a number|options are/],
    [[["a", { rate: 0 }]], /rate 0/],
    [[["a", { after: 7 }]], /a position is/],
    [[["a", { last: 1, state: true }]], /at most one/],
    [[["a", { colour: "red" }]], /"colour"; allowed are after, last/],
    [[["a", { echo: false }]], /"echo"; allowed/],
  ];
  for (const [value, text] of bad) assert.throws(() => planOf(subscribing(value), ""), text);
  assert.throws(() => planOf("subscribe=%5B", ""), /not JSON/);
  assert.throws(() => planOf(`${subscribing([["a"]])}&room=b`, ""), /room goes not with subscribe/);
  assert.throws(() => planOf(`${subscribing([["a"]])}&${subscribing([["b"]])}`, ""), /given twice/);
});

test("a room is followed by the client's rule", () => {
  const room = new FollowedRoom({ name: "a", after: undefined, options: { last: 3, rate: 4 } });
  assert.equal(room.take(5, 4), "ignore", "nothing counts before the answer");
  assert.deepEqual(room.request(7), [1, 7, "a", { last: 3, rate: 4 }]);
  room.ref = 0;
  room.position = { epoch: "e", offset: 4 };
  assert.deepEqual([room.take(4, 3), room.take(6, 5), room.position.offset], ["ignore", "hole", 4]);
  assert.deepEqual([room.take(9, 4), room.position.offset], ["deliver", 9]);
  room.reach(8);
  assert.equal(room.position.offset, 9);
  room.reach(12);
  assert.deepEqual(room.request(8), [1, 8, "a", { rate: 4, after: ["e", 12] }]);
  assert.equal(room.take(13, 12), "ignore", "of before the subscribe that is under way");
});

test("a stream that is gone is on no topic", () => {
  const streams = new EventStreams();
  const taken: number[] = [];
  const streamOf = (number: number) => ({ take: () => taken.push(number) }) as unknown as Stream;
  const [first, second] = [streamOf(1), streamOf(2)];
  for (const stream of [first, second]) {
    streams.add(stream);
    streams.join(stream, "t");
  }
  streams.publish("t", Buffer.from("[20]\n"), false);
  streams.delete(first);
  streams.join(first, "t");
  streams.publish("t", Buffer.from("[20]\n"), false);
  streams.leave(second, "t");
  streams.publish("t", Buffer.from("[20]\n"), false);
  assert.deepEqual(taken, [1, 2, 2]);
});
