import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRoom } from "../protocol/room-name.js";
import { control, live, open, rejection, turn } from "./fake-socket.testkit.js";
import type { PresenceChange } from "./index.js";

test("a subscription with members knows who is there, and tells what has changed", async () => {
  const { client, socket } = open();
  const lobby = client.subscribe("a", { members: true, info: { mood: "good" } });
  const changes: PresenceChange[] = [];
  lobby.on("members", (change) =>
    changes.push({ ...change, members: change.members && new Map(change.members) }),
  );
  await live(socket);
  const [asked] = socket.sent;
  assert.ok(asked?.type === "subscribe");
  assert.deepEqual(asked.options, { members: true, info: { mood: "good" } });
  const unknown: unknown = lobby.presence;
  assert.equal(unknown, undefined);
  const room = parseRoom("a");
  for (const frame of [
    { count: 2, joined: ["ann", ["bob", 1]], left: [], list: true },
    { count: 2, joined: [["ann", "x"], "cat"], left: ["bob"], list: undefined },
    { count: 300, joined: [], left: [], list: false },
    { count: 301, joined: ["dan"], left: ["ann"], list: undefined },
    { count: 1, joined: ["eve"], left: [], list: true },
  ])
    socket.receive(control({ type: "members", room, ...frame }));
  assert.deepEqual(changes, [
    {
      count: 2,
      members: new Map<string, unknown>([
        ["ann", undefined],
        ["bob", 1],
      ]),
      joined: ["ann", "bob"],
      left: [],
    },
    {
      count: 2,
      members: new Map<string, unknown>([
        ["ann", "x"],
        ["cat", undefined],
      ]),
      joined: ["ann", "cat"],
      left: ["bob"],
    },
    { count: 300, members: undefined, joined: [], left: [] },
    { count: 301, members: undefined, joined: ["dan"], left: ["ann"] },
    { count: 1, members: new Map([["eve", undefined]]), joined: ["eve"], left: [] },
  ]);
  assert.equal(lobby.presence?.count, 1);
  socket.receive(
    control({ type: "members", room: parseRoom("other"), count: 9, joined: [], left: [], list: false }),
  );
  assert.equal(changes.length, 5);
  client.close();
});

test("presence is asked for by request", async () => {
  const { client, socket } = open();
  const answers = [
    [
      { count: 3, members: ["ann", ["bob", { n: 1 }]], more: true },
      {
        count: 3,
        members: new Map<string, unknown>([
          ["ann", undefined],
          ["bob", { n: 1 }],
        ]),
        more: true,
      },
    ],
    [{ count: 1_000 }, { count: 1_000, members: undefined, more: false }],
  ] as const;
  for (const [result, expected] of answers) {
    const page = client.presence("lobby.a", { after: "abe", limit: 2 });
    await turn();
    const asked = socket.sent.at(-1);
    assert.ok(asked?.type === "presence");
    assert.deepEqual(asked.options, { after: "abe", limit: 2 });
    socket.receive(control({ type: "ok", ref: asked.ref, result }));
    assert.deepEqual(await page, expected);
  }
  const broken = client.presence("lobby.a");
  await turn();
  socket.receive(control({ type: "ok", ref: socket.ref("presence"), result: 7 }));
  assert.equal((await rejection(broken)).code, "internal");
  assert.throws(() => client.subscribe("lobby.b", { info: 1n }), TypeError);
  client.close();
});
