import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Position } from "../../protocol/frames.js";
import { idOf, planOf } from "./event-plan.js";
import type { EventStream } from "./event-stream.js";
import { EventStreams } from "./event-streams.js";
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
        plan.rooms.map(({ after }) => after),
        id === "" ? all.map(() => undefined) : all,
      );
    }),
  );
});

test("options are read, the header goes before the parameter", () => {
  const { rooms, options } = planOf("room=a&state=true&rate=4&lastEventId=e:1&token=x", "f:2");
  assert.deepEqual(rooms, [{ name: "a", after: { epoch: "f", offset: 2 } }]);
  assert.deepEqual(options, { state: true, rate: 4 });
  assert.deepEqual(planOf("room=a&rate=slowest&last=3&lastEventId=e:1", "").rooms[0]?.after, {
    epoch: "e",
    offset: 1,
  });
});

test("a room is followed by the client's rule", () => {
  const room = new FollowedRoom({ name: "a", after: undefined }, { last: 3, rate: 4 });
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
  const streamOf = (number: number) => ({ take: () => taken.push(number) }) as unknown as EventStream;
  const [first, second] = [streamOf(1), streamOf(2)];
  for (const stream of [first, second]) {
    streams.add(stream);
    streams.join(stream, "t");
  }
  streams.publish("t", Buffer.from("[20]\n"));
  streams.delete(first);
  streams.join(first, "t");
  streams.publish("t", Buffer.from("[20]\n"));
  streams.leave(second, "t");
  streams.publish("t", Buffer.from("[20]\n"));
  assert.deepEqual(taken, [1, 2, 2]);
});
