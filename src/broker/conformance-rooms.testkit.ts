import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { parseRoom, type RoomName } from "../protocol/room-name.js";
import type { Check, Namespace, Rig } from "./conformance-rig.testkit.js";

/** Lists of rooms. */
export function roomsTests(check: Check): void {
  check("rooms: all with the prefix that keep a message come once, by name, page by page", async (rig) => {
    const family = familyOf("log");
    // Around "." in the order of bytes, and one that only begins alike.
    const rooms = ["", ".a", ".a-b", ".a.b", ".a:b", ".B", ".b"].map(family);
    const other = parseRoom(`${family("")}x`);
    for (const room of [...rooms, other].reverse()) await rig.publish(room, 1);
    assert.deepEqual(await namesOf(rig, `${family("")}.`, 3), sorted(rooms.slice(1)));
    assert.deepEqual(await namesOf(rig, family(""), 1), sorted([...rooms, other]));
    assert.deepEqual(await namesOf(rig, family(".a"), 100), sorted(rooms.slice(1, 5)));
    assert.deepEqual(await namesOf(rig, family(".c"), 100), []);
  });

  check("rooms: a page says exactly whether more follow, and goes on after any name", async (rig) => {
    const family = familyOf("log");
    const rooms = [".a", ".c", ".e"].map(family);
    for (const room of rooms) await rig.publish(room, 1);
    const prefix = `${family("")}.`;
    const ask = async (after: string, limit: number) => {
      const list = await rig.broker.rooms(prefix, after, limit);
      return [...list.rooms.map(({ room }) => room.slice(prefix.length)), list.more];
    };
    assert.deepEqual(await ask("", 2), ["a", "c", true]);
    assert.deepEqual(await ask("", 3), ["a", "c", "e", false]);
    assert.deepEqual(await ask(family(".b"), 1), ["c", true]);
    assert.deepEqual(await ask(family(".c"), 1), ["e", false]);
    assert.deepEqual(await ask(family(".e"), 1), [false]);
  });

  check(
    "rooms: a room of many keys is one, and a head that is told is where the room stands",
    async (rig) => {
      const family = familyOf("keyed");
      const [one, two] = [family(".one"), family(".two")];
      for (const key of ["a", "b", "c"]) await rig.publish(one, key, { key });
      await rig.publish(two, 1);
      const { rooms, more } = await rig.broker.rooms(`${family("")}.`, "", 10);
      assert.deepEqual([rooms.map(({ room }) => room), more], [[one, two], false]);
      for (const { room, head } of rooms)
        if (head !== undefined) assert.deepEqual(head, (await rig.page(room, "oldest", 1)).head);
    },
  );

  check("rooms: what is there all the while comes once while others come and go", async (rig) => {
    const family = familyOf("log");
    const stay = Array.from({ length: 6 }, (_, index) => family(`.stay${index}`));
    for (const room of stay) await rig.publish(room, 1);
    const read: string[] = [];
    for (let after = "", more = true; more; ) {
      const [list] = await Promise.all([
        rig.broker.rooms(`${family("")}.`, after, 2),
        rig.publish(family(`.new${read.length}`), 1),
        rig.publish(family(`.stay${read.length}`), 2),
      ]);
      read.push(...list.rooms.map(({ room }) => room));
      more = list.more;
      after = read.at(-1) ?? "";
    }
    assert.deepEqual([...new Set(read)], read);
    for (const room of stay) assert.ok(read.includes(room), room);
  });
}

/** Rooms that no other test has. */
function familyOf(namespace: Namespace): (end: string) => RoomName {
  const begin = `${namespace}.l${randomBytes(8).toString("hex")}`;
  return (end) => parseRoom(`${begin}${end}`);
}

async function namesOf(rig: Rig, prefix: string, limit: number): Promise<readonly string[]> {
  const read: string[] = [];
  for (let after = "", more = true; more; after = read.at(-1) ?? "") {
    const list = await rig.broker.rooms(prefix, after, limit);
    assert.ok(list.rooms.length <= limit && (list.rooms.length > 0 || !list.more));
    read.push(...list.rooms.map(({ room }) => room));
    more = list.more;
  }
  return read;
}

function sorted(rooms: readonly RoomName[]): readonly string[] {
  return [...rooms].sort();
}
