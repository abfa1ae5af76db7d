import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseRoom, type RoomName } from "../protocol/room-name.js";
import type { RoomList } from "./ports.js";
import { mergeRooms, ROOM_LIST_MAX, RoomPage, type RoomQuery } from "./room-list.js";

const room = fc.stringMatching(/^[aAb_:-]{1,2}(\.[aAb:-]{1,2}){0,1}$/).map((name) => parseRoom(name));
const query = fc.record({
  prefix: fc.constantFrom("", "a", "a.", "b", "A", "zz"),
  after: fc.oneof(fc.constant(""), room),
  limit: fc.integer({ min: 1, max: 8 }),
});

test("a page is the first rooms by name, however they are offered and however they are spread", () => {
  const spread = fc.array(fc.array(room, { maxLength: 40 }), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(spread, query, (parts, asked) => {
      const wanted = expected(parts.flat(), asked);
      assert.deepEqual(plain(pageOf(parts.flat(), asked)), wanted);
      const lists = parts.map((rooms) => pageOf(rooms, asked));
      assert.deepEqual(plain(mergeRooms(asked, lists)), wanted);
    }),
  );
});

test("page by page every room comes once", () => {
  const rooms = Array.from({ length: 100 }, (_, index) => parseRoom(`r.${(index * 37) % 100}`));
  const read: string[] = [];
  for (let after = "", more = true; more; after = read.at(-1) ?? "") {
    const page = pageOf(rooms, { prefix: "r.", after, limit: 7 });
    read.push(...page.rooms.map((listed) => listed.room));
    more = page.more;
  }
  assert.deepEqual(read, [...rooms].sort());
});

test("a page holds no more than the most, and no less than one room", () => {
  const rooms = Array.from({ length: ROOM_LIST_MAX + 1 }, (_, index) => parseRoom(`r${index}`));
  const whole = pageOf(rooms, { prefix: "", after: "", limit: Number.POSITIVE_INFINITY });
  assert.deepEqual([whole.rooms.length, whole.more], [ROOM_LIST_MAX, true]);
  assert.equal(pageOf(rooms, { prefix: "", after: "", limit: 0 }).rooms.length, 1);
});

function pageOf(rooms: readonly RoomName[], asked: RoomQuery): RoomList {
  const page = new RoomPage(asked);
  for (const name of rooms) page.offer({ room: name, head: undefined });
  return page.list();
}

function expected(rooms: readonly RoomName[], { prefix, after, limit }: RoomQuery) {
  const all = [...new Set(rooms)].filter((name) => name.startsWith(prefix) && name > after).sort();
  return { rooms: all.slice(0, limit), more: all.length > limit };
}

function plain({ rooms, more }: RoomList) {
  return { rooms: rooms.map((listed) => listed.room), more };
}
