import assert from "node:assert/strict";
import { test } from "node:test";
import type { ServerFrame } from "../../protocol/frames.js";
import { parseRoom } from "../../protocol/room-name.js";
import { jsonWire } from "../../protocol/wire.js";
import { type Access, OPEN_ACCESS, type Right } from "../access.js";
import { EngineRig, type TestConnection } from "../engine-rig.testkit.js";

const LOBBY = parseRoom("lobby.a");
/** Longer than a report and an event together. */
const SETTLED_MS = 2_000;

function as(sub: string, rights: readonly Right[] = ["subscribe", "members"]): Access {
  return {
    ...OPEN_ACCESS,
    sub,
    rights: { allows: (right) => rights.includes(right), allowsPattern: () => false },
  };
}

function membersIn(frames: readonly ServerFrame[]): Extract<ServerFrame, { type: "members" }>[] {
  return frames.filter((frame) => frame.type === "members");
}

/** Lets everything arrive, and takes the presence events that came. */
async function events(rig: EngineRig, client: TestConnection): Promise<unknown[]> {
  await rig.settle();
  await rig.advance(SETTLED_MS);
  return membersIn(client.socket.take()).map(({ count, joined, left, list }) => ({
    count,
    joined,
    left,
    list,
  }));
}

async function watcher(rig: EngineRig, room: string, access: Access = as("eve")): Promise<TestConnection> {
  const client = rig.connect(undefined, access);
  await client.subscribe(room, { members: true });
  return client;
}

test("a room that counts tells how many are there, and nothing of who", async () => {
  const rig = new EngineRig();
  const client = await watcher(rig, "counted.a");
  assert.deepEqual((await events(rig, client)).at(-1), { count: 1, joined: [], left: [], list: false });
  const others = [1, 2, 3].map(() => rig.connect());
  for (const other of others) await other.subscribe("counted.a");
  assert.deepEqual(await events(rig, client), [{ count: 4, joined: [], left: [], list: false }]);
  others[0]?.session.closed(rig.nowMs);
  await others[1]?.ask({ type: "unsubscribe", ref: 2, room: parseRoom("counted.a") });
  assert.deepEqual(await events(rig, client), [{ count: 2, joined: [], left: [], list: false }]);
});

test("a member is the subject of its token however many tabs it has, with the data that it gave last", async () => {
  const rig = new EngineRig();
  const client = await watcher(rig, "lobby.a");
  assert.deepEqual((await events(rig, client)).at(-1), { count: 1, joined: ["eve"], left: [], list: true });
  const tabs = [0, 1].map(() => rig.connect(undefined, as("bob")));
  await tabs[0]?.subscribe("lobby.a", { info: { mood: "good" } });
  assert.deepEqual(await events(rig, client), [
    { count: 2, joined: [["bob", { mood: "good" }]], left: [], list: undefined },
  ]);
  await tabs[1]?.subscribe("lobby.a", { info: "busy" });
  assert.deepEqual(await events(rig, client), [
    { count: 2, joined: [["bob", "busy"]], left: [], list: undefined },
  ]);
  tabs[0]?.session.closed(rig.nowMs);
  assert.deepEqual(await events(rig, client), []);
  tabs[1]?.session.closed(rig.nowMs);
  assert.deepEqual(await events(rig, client), [{ count: 1, joined: [], left: ["bob"], list: undefined }]);
});

test("who has no token is known by its session", async () => {
  const rig = new EngineRig();
  const client = rig.connect();
  await client.subscribe("lobby.a", { members: true });
  assert.deepEqual((await events(rig, client)).at(-1), { count: 1, joined: ["s0"], left: [], list: true });
});

test("a room has one event a second, however many come and go, and who only passes through is not told of", async () => {
  const rig = new EngineRig();
  const client = await watcher(rig, "lobby.a");
  await events(rig, client);
  for (let i = 0; i < 50; i++) {
    const guest = rig.connect(undefined, as(`g${i}`));
    await guest.subscribe("lobby.a");
    await rig.advance(100);
    if (i % 2 === 0) guest.session.closed(rig.nowMs);
  }
  const got = await events(rig, client);
  assert.ok(got.length >= 4 && got.length <= 7, `${got.length} events in 5 s`);
});

test("only those who asked get events; who unsubscribes, or is told to lag, gets none any more", async () => {
  const rig = new EngineRig();
  const client = await watcher(rig, "lobby.a");
  const plain = rig.connect(undefined, as("bob"));
  await plain.subscribe("lobby.a");
  const lagged = await watcher(rig, "lobby.a", as("lag"));
  const gone = await watcher(rig, "lobby.a", as("gone"));
  await rig.advance(SETTLED_MS);
  assert.equal(membersIn(plain.socket.take()).length, 0);
  assert.ok(membersIn(lagged.socket.take()).length > 0);
  assert.ok(membersIn(gone.socket.take()).length > 0);
  await gone.ask({ type: "unsubscribe", ref: 9, room: LOBBY });
  lagged.session.dropped();
  await rig.settle();
  const topics = [...lagged.socket.topics, ...gone.socket.topics, ...plain.socket.topics];
  assert.deepEqual(
    topics.filter((topic) => topic.endsWith("!")),
    [],
  );
  await events(rig, client);
  await rig.connect(undefined, as("new")).subscribe("lobby.a");
  assert.equal((await events(rig, client)).length, 1);
  for (const { socket } of [plain, lagged, gone]) assert.equal(membersIn(socket.take()).length, 0);
});

test("who comes later is sent the list as it is, and then every change, in either sub-protocol", async () => {
  const rig = new EngineRig();
  await watcher(rig, "lobby.a", as("ann"));
  await rig.advance(SETTLED_MS);
  const late = rig.connect(undefined, as("late"));
  const [first] = membersIn(await late.subscribe("lobby.a", { members: true }));
  const text = rig.connect(jsonWire, as("text"));
  text.session.receive(
    new TextEncoder().encode('[1, 1, "lobby.a", {"members": true, "info": {"n": 1}}]'),
    rig.nowMs,
  );
  await rig.settle();
  assert.deepEqual(first?.joined, ["ann"]);
  assert.equal(first?.list, true);
  const [next] = await events(rig, late);
  assert.deepEqual(next, { count: 3, joined: ["late", ["text", { n: 1 }]], left: [], list: undefined });
  const lines = text.socket.chunks.map((chunk) => new TextDecoder().decode(chunk)).join("");
  assert.ok(lines.indexOf("[17,1,") < lines.indexOf("[23,"), "what comes before the answer is ignored");
  assert.match(lines, /\[23,"lobby\.a",1,\["ann"\],\[\],true\]\n/);
  assert.match(lines, /\[23,"lobby\.a",3,\["late",\["text",\{"n":1\}\]\],\[\]\]\n/);
});

test("above its limit a room only counts, says so once, and gives the whole list again below it", async () => {
  const rig = new EngineRig({ presenceMembers: 3 });
  const client = await watcher(rig, "lobby.a");
  await events(rig, client);
  const guests = [1, 2, 3].map((n) => rig.connect(undefined, as(`g${n}`)));
  for (const guest of guests) await guest.subscribe("lobby.a");
  assert.deepEqual(await events(rig, client), [{ count: 4, joined: [], left: [], list: false }]);
  guests[0]?.session.closed(rig.nowMs);
  const [event] = await events(rig, client);
  assert.deepEqual(event, { count: 3, joined: ["eve", "g2", "g3"], left: [], list: true });
});

test("a long list goes out in frames that are none too long, once the socket has place for it", async () => {
  const rig = new EngineRig({ presenceMembers: 1_000 });
  for (let n = 0; n < 500; n++)
    await rig
      .connect(undefined, as(`member-${n}`))
      .subscribe("lobby.a", n < 30 ? { info: "x".repeat(200) } : {});
  const late = rig.connect(undefined, as("late"));
  late.socket.buffered = 60_000;
  await late.subscribe("lobby.a", { members: true });
  await rig.advance(SETTLED_MS);
  assert.equal(membersIn(late.socket.take()).length, 0);
  late.socket.buffered = 0;
  await rig.advance(500);
  const frames = membersIn(late.socket.take());
  assert.ok(late.socket.chunks.every((chunk) => chunk.length <= 16_000));
  assert.deepEqual(
    frames.map(({ list }) => list),
    [true, ...frames.slice(1).map(() => undefined)],
  );
  assert.equal(frames.flatMap(({ joined }) => joined).length, 501);
});

test("presence is asked for by request: how many, and who, page by page", async () => {
  const rig = new EngineRig();
  const names = ["dan", "ann", "cat", "bob"];
  for (const name of names)
    await rig.connect(undefined, as(name)).subscribe("lobby.a", { info: name.length });
  await rig.connect(undefined, as("x")).subscribe("counted.a");
  await rig.advance(SETTLED_MS);
  const client = rig.connect(undefined, as("eve"));
  client.socket.take();
  const ask = async (room: string, options?: { after?: string; limit?: number }): Promise<unknown> => {
    const [frame] = await client.ask({ type: "presence", ref: 1, room: parseRoom(room), options });
    return frame?.type === "ok" ? frame.result : frame;
  };
  const all = ["ann", "bob", "cat", "dan"].map((name) => [name, 3]);
  assert.deepEqual(await ask("lobby.a"), { count: 4, members: all, more: false });
  assert.deepEqual(await ask("lobby.a", { limit: 3 }), { count: 4, members: all.slice(0, 3), more: true });
  assert.deepEqual(await ask("lobby.a", { after: "cat" }), { count: 4, members: all.slice(3), more: false });
  assert.deepEqual(await ask("counted.a"), { count: 1 });
  assert.deepEqual(await ask("lobby.empty"), { count: 0 });
  assert.equal(rig.engine.presence.watchedRooms, 3);
  rig.engine.sweep(rig.nowMs);
  rig.engine.sweep(rig.nowMs + 6_000);
  assert.equal(rig.engine.presence.watchedRooms, 0);
});

test("data of a member that is too long, or is said where nobody lists members, is refused", async () => {
  const rig = new EngineRig();
  const client = rig.connect(undefined, as("eve"));
  client.socket.take();
  for (const [room, info, code] of [
    ["lobby.a", "x".repeat(300), "too_large"],
    // One byte each as MessagePack, six as JSON.
    ["lobby.a", "\u0001".repeat(200), "too_large"],
    ["lobby.a", JSON.parse('{"__proto__": 1}'), "bad_request"],
    ["counted.a", 1, "bad_request"],
    ["chat.a", 1, "bad_request"],
  ] as const) {
    const [frame] = await client.subscribe(room, { info });
    assert.ok(frame?.type === "error" && frame.code === code, `${room}: ${JSON.stringify(frame)}`);
  }
  assert.equal(rig.counters.presenceInfosRefused, 2);
});

test("a new token: who was a session becomes its subject; who may not see members any more is told and gets none", async () => {
  const rig = new EngineRig();
  const client = await watcher(rig, "lobby.a");
  const guest = rig.connect();
  await guest.subscribe("lobby.a", { info: 7 });
  await events(rig, client);
  guest.session.renew(as("bob"), rig.nowMs);
  assert.deepEqual(await events(rig, client), [
    { count: 2, joined: [["bob", 7]], left: ["s1"], list: undefined },
  ]);
  client.session.renew(as("eve", ["subscribe"]), rig.nowMs);
  const told = client.socket.take();
  assert.ok(
    told.some((frame) => frame.type === "error" && frame.code === "forbidden" && frame.room === LOBBY),
  );
  assert.deepEqual(await events(rig, client), []);
});

test("hundreds of rooms that one connection comes into and leaves leave nothing behind", async () => {
  const rig = new EngineRig();
  const client = rig.connect(undefined, as("eve"));
  for (let round = 0; round < 2; round++) {
    for (let n = 0; n < 300; n++) await client.subscribe(`lobby.r${n}`, { members: true, info: n });
    client.session.closed(rig.nowMs);
    await rig.advance(500);
  }
  assert.deepEqual([...client.socket.topics], []);
  rig.engine.sweep(rig.nowMs);
  rig.engine.sweep(rig.nowMs + 6_000);
  assert.equal(rig.engine.presence.watchedRooms, 0);
});
