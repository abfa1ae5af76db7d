import assert from "node:assert/strict";
import { test } from "node:test";
import { encode } from "@msgpack/msgpack";
import type { Rights } from "../core/access.js";
import type { Broker } from "../core/ports.js";
import { ROOM_LIST_MAX } from "../core/room-list.js";
import { parseRoom } from "../protocol/room-name.js";
import { SECRET, tokenOf } from "./auth/tokens.testkit.js";
import { startTestServer } from "./bystander.testkit.js";
import { bodyValue, createRig } from "./http-api.testkit.js";
import { LISTED_ROOMS_MAX } from "./http-query.js";
import { LOOKED_ROOMS_MAX, listRooms } from "./http-rooms.js";

test("rooms by prefix with their positions, page by page, in both formats", async () => {
  const { ask, post, broker } = createRig();
  for (const room of ["telemetry.b", "telemetry.a", "other", "telemetry.b"])
    await post(`/v1/rooms/${room}/messages`, 1);
  await broker.open(parseRoom("cursors.x"), { message: () => {}, reset: () => {} });
  const a = { room: "telemetry.a", epoch: "e", offset: 1 };
  const b = { room: "telemetry.b", epoch: "e", offset: 2 };
  for (const [query, rooms, more] of [
    ["prefix=telemetry.", [a, b], false],
    ["prefix=telemetry.&limit=1", [a], true],
    ["prefix=telemetry.&after=telemetry.a&limit=1", [b], false],
    ["prefix=telemetry.&after=telemetry.b", [], false],
    ["prefix=telemetry.b", [b], false],
    ["prefix=tele&limit=9999999999", [a, b], false],
    ["prefix=none", [], false],
    [
      "",
      [{ room: "cursors.x", epoch: "", offset: 0 }, { room: "other", epoch: "e", offset: 1 }, a, b],
      false,
    ],
  ] as const)
    for (const accept of ["application/json", "application/msgpack"]) {
      const reply = await ask({ path: "/v1/rooms", query, headers: { accept } });
      assert.deepEqual([reply.status, bodyValue(reply)], [200, { rooms, more }], `${query} ${accept}`);
    }
});

test("a page has so many rooms at the most, and says that more follow", async () => {
  const { ask, broker } = createRig();
  for (let index = 0; index < LISTED_ROOMS_MAX + 1; index += 1)
    await broker.publish({ room: parseRoom(`r.${index}`), data: encode(1) });
  const read: string[] = [];
  const sizes: number[] = [];
  for (let after = "", more = true; more; ) {
    const reply = await ask({ path: "/v1/rooms", query: `limit=100000${after}` });
    const page = bodyValue(reply) as { rooms: { room: string }[]; more: boolean };
    read.push(...page.rooms.map(({ room }) => room));
    sizes.push(page.rooms.length);
    more = page.more;
    after = `&after=${read.at(-1)}`;
  }
  assert.deepEqual(sizes, [LISTED_ROOMS_MAX, 1]);
  assert.equal(new Set(read).size, LISTED_ROOMS_MAX + 1);
});

test("who may read little of much is shown that and nothing else, within a bound", async () => {
  const { broker } = createRig();
  const total = LOOKED_ROOMS_MAX + 2;
  const name = (index: number): string => `r.${String(index).padStart(6, "0")}`;
  for (let index = 0; index < total; index += 1)
    await broker.publish({ room: parseRoom(name(index)), data: encode(1) });
  let lists = 0;
  const counting: Pick<Broker, "rooms"> = {
    rooms: (prefix, after, limit) => {
      lists += 1;
      assert.ok(limit <= ROOM_LIST_MAX);
      return broker.rooms(prefix, after, limit);
    },
  };
  const list = async (mine: readonly number[], after = "", limit = LISTED_ROOMS_MAX) => {
    lists = 0;
    const names = mine.map(name);
    const rights: Rights = {
      allows: (right, room) => right === "history" && names.includes(room),
      allowsPattern: () => false,
    };
    const page = await listRooms(counting, { prefix: "r.", after, limit }, rights);
    assert.ok(lists <= 5);
    return [...page.rooms.map(({ room }) => room), page.more];
  };
  assert.deepEqual(await list([7, 3_000]), [name(7), name(3_000), true]);
  assert.deepEqual(await list([7, 3_000, 3_001], "", 2), [name(7), name(3_000), true]);
  assert.deepEqual(await list([total - 1], name(1)), [name(total - 1), false]);
  // As if there were nothing: what follows is not looked at.
  await assert.rejects(list([total - 1]), { code: "too_large", message: /longer/ });
  assert.deepEqual(await list([], name(1)), [false]);
});

test("over the network, a token shows rooms that it may subscribe to or read, an anonymous caller those of everybody", async (t) => {
  const { url } = await startTestServer(t, {
    auth: { secret: SECRET },
    apiKeys: ["k".repeat(20)],
    namespaces: { open: { anonymous: "s" } },
  });
  const key = { authorization: `Bearer ${"k".repeat(20)}` };
  for (const room of ["chat.a", "chat.b", "open.a", "own.h", "own.p"]) {
    const headers = { ...key, "content-type": "application/json" };
    const sent = await fetch(`${url}/v1/rooms/${room}/messages`, { method: "POST", headers, body: "1" });
    assert.equal(sent.status, 200);
  }
  const shown = async (headers: Record<string, string>, query = ""): Promise<readonly string[]> => {
    const response = await fetch(`${url}/v1/rooms${query}`, { headers });
    assert.equal(response.status, 200);
    const { rooms } = (await response.json()) as { rooms: readonly { room: string }[] };
    return rooms.map(({ room }) => room);
  };
  const rooms = [
    ["chat.a", "sp"],
    ["own.h", "h"],
    ["own.p", "p"],
  ];
  const token = { authorization: `Bearer ${await tokenOf({ rooms })}` };
  assert.deepEqual(await shown(key), ["chat.a", "chat.b", "open.a", "own.h", "own.p"]);
  assert.deepEqual(await shown(token), ["chat.a", "open.a", "own.h"]);
  assert.deepEqual(await shown(token, "?prefix=chat."), ["chat.a"]);
  assert.deepEqual(await shown({}), ["open.a"]);
  const refused = await fetch(`${url}/v1/rooms`, { headers: { authorization: "Bearer x" } });
  const { error } = (await refused.json()) as { error: { code: string } };
  assert.deepEqual([refused.status, error.code], [401, "unauthenticated"]);
});
