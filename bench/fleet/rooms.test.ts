import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { checkRooms, type RoomPlan, roomOf, slotOf } from "./rooms.js";

const plans = fc
  .record({
    roomsEach: fc.integer({ min: 1, max: 6 }),
    more: fc.nat({ max: 40 }),
    shared: fc.boolean(),
    firstRoom: fc.nat({ max: 50 }),
  })
  .map(({ more, ...plan }): RoomPlan => ({ ...plan, rooms: plan.roomsEach + more }));

test("a connection's rooms differ, and each knows its slot", () => {
  fc.assert(
    fc.property(plans, fc.nat({ max: 100_000 }), (plan, index) => {
      checkRooms(plan);
      const rooms = Array.from({ length: plan.roomsEach }, (_, slot) => roomOf(plan, index, slot));
      assert.equal(new Set(rooms).size, plan.roomsEach);
      for (let room = 0; room < (plan.firstRoom ?? 0) + plan.rooms + 2; room++)
        assert.equal(slotOf(plan, index, room), rooms.indexOf(room), `room ${room}`);
    }),
  );
});

test("the shared room is everybody's first, the others have as many members each", () => {
  const plan: RoomPlan = { rooms: 11, roomsEach: 3, shared: true };
  const members = new Map<number, number>();
  for (let index = 0; index < 1_000; index++) {
    assert.equal(roomOf(plan, index, 0), 0);
    for (const slot of [1, 2]) {
      const room = roomOf(plan, index, slot);
      members.set(room, (members.get(room) ?? 0) + 1);
    }
  }
  assert.deepEqual([...new Set(members.values())], [200]);
  assert.throws(() => checkRooms({ rooms: 2, roomsEach: 3, shared: true }), RangeError);
});
