import assert from "node:assert/strict";
import { test } from "node:test";
import { Rig } from "./connection.testkit.js";

const taken = (offset: number, recovered = false, epoch = "e") => ({ epoch, offset, recovered });

test("a gap asks once for what follows the last message, and nothing is delivered until that comes", () => {
  const rig = new Rig().open();
  const id = rig.live1("a", 10);
  rig.message("a", 11);
  for (const offset of [13, 14, 15]) rig.message("a", offset);
  const { ref, options } = rig.sentOne("subscribe");
  assert.deepEqual(options, { after: { epoch: "e", offset: 11 } });
  // Still of the old subscription: their order could not be told.
  rig.message("a", 12, 11);
  rig.live("a", 40);
  rig.receive({ type: "reset", room: "a", epoch: "x", offset: 1, reason: "epoch" });
  rig.ok(ref, taken(11, true));
  for (const offset of [12, 13, 14, 15]) rig.message("a", offset);
  rig.live("a", 15);
  rig.message("a", 16);
  assert.deepEqual(rig.delivered(id), [11, 12, 13, 14, 15, 16]);
});

test("a server that goes on to leave gaps is asked ever more slowly", () => {
  const rig = new Rig().open();
  rig.random = 1;
  rig.live1("a", 10);
  const atMs: number[] = [];
  for (let i = 0; i < 30_000; i += 10) {
    rig.message("a", 20, 19);
    for (const { ref } of rig.sent()) {
      atMs.push(rig.nowMs);
      rig.ok(ref, taken(10, true));
    }
    rig.advance(10);
    rig.receive();
  }
  assert.ok(atMs.length >= 4 && atMs.length <= 8, `asked ${atMs.length} times`);
});

test("after a message between them the next gap is asked for at once", () => {
  const rig = new Rig().open();
  rig.live1("a", 10);
  for (let offset = 10; offset < 20; offset++) {
    rig.message("a", 100, 99);
    const { ref } = rig.sentOne("subscribe");
    rig.ok(ref, taken(offset, true));
    rig.message("a", offset + 1);
  }
});

test("lagged: every room is asked for after its last position, those under way too", () => {
  const rig = new Rig().open();
  rig.live1("a", 10);
  rig.live1("b", 20);
  rig.message("a", 11);
  const pending = rig.subscribe("c", { last: 3 });
  const lost = rig.sentOne("subscribe").ref;
  rig.receive({ type: "lagged" });
  const sent = rig.sent();
  assert.deepEqual(
    sent.map(({ type, room, rooms, options }) => [type, room ?? rooms, options]),
    [
      ["subscribe", "c", { last: 3 }],
      [
        "subscribeMany",
        [
          { room: "a", after: { epoch: "e", offset: 11 } },
          { room: "b", after: { epoch: "e", offset: 20 } },
        ],
        {},
      ],
    ],
  );
  // The answer from before says nothing about what follows it.
  rig.ok(lost, taken(1));
  rig.message("c", 2);
  assert.deepEqual(rig.delivered(pending), []);
});

test("after a reconnect every room resumes behind its last message", () => {
  const rig = new Rig().open();
  const a = rig.live1("a", 10);
  rig.live1("b", 20, { last: 5 });
  rig.message("a", 11);
  rig.closed();
  rig.advance(125);
  rig.welcome();
  const { ref, rooms, options } = rig.sentOne("subscribeMany");
  assert.deepEqual(options, {});
  assert.deepEqual(rooms, [
    { room: "a", after: { epoch: "e", offset: 11 } },
    { room: "b", after: { epoch: "e", offset: 20 } },
  ]);
  rig.ok(ref, [taken(11, true), taken(20, true)]);
  rig.message("a", 12);
  assert.deepEqual(rig.delivered(a), [11, 12]);
  assert.ok(rig.events(a).some((event) => event.kind === "subscribed" && event.subscribed.recovered));
});

test("cut in the middle of a replay, it resumes behind what it got", () => {
  const rig = new Rig().open();
  const id = rig.subscribe("a", { last: 9 });
  rig.ok(rig.sentOne("subscribe").ref, taken(1));
  rig.message("a", 2);
  rig.closed();
  rig.advance(125);
  rig.welcome();
  const { ref, options } = rig.sentOne("subscribe");
  assert.deepEqual(options, { after: { epoch: "e", offset: 2 } });
  rig.ok(ref, taken(2, true));
  rig.message("a", 3);
  assert.deepEqual(rig.delivered(id), [2, 3]);
});

test("cut before the first answer, it asks with its own options again", () => {
  const rig = new Rig().open();
  rig.subscribe("a", { last: 9 });
  rig.sent();
  rig.closed();
  rig.advance(125);
  rig.welcome();
  assert.deepEqual(rig.sentOne("subscribe").options, { last: 9 });
});

test("an unrecovered resume is told, with its reason, on the room and on the next message", () => {
  for (const [epoch, reason] of [
    ["e", "expired"],
    ["f", "epoch"],
  ] as const) {
    const rig = new Rig().open();
    const id = rig.subscribe("a", { after: { epoch: "e", offset: 3 } });
    rig.ok(rig.sentOne("subscribe").ref, taken(50, false, epoch));
    rig.message("a", 51);
    rig.message("a", 52);
    const events = rig.events(id);
    assert.deepEqual(
      events.map(({ kind }) => kind),
      ["reset", "state", "subscribed", "message", "message"],
    );
    assert.deepEqual(events[0]?.kind === "reset" && events[0].reset, {
      reason,
      position: { epoch, offset: 50 },
    });
    const [first, second] = events.flatMap((event) =>
      event.kind === "message" ? [event.message.reset] : [],
    );
    assert.deepEqual([first, second], [reason, undefined]);
  }
});

test("numbering that begins anew is followed downwards", () => {
  const rig = new Rig().open();
  const id = rig.live1("a", 100);
  rig.receive({ type: "reset", room: "a", epoch: "f", offset: 2, reason: "epoch" });
  rig.message("a", 3);
  assert.deepEqual(rig.delivered(id), ["reset", 3]);
  rig.closed();
  rig.advance(125);
  rig.welcome();
  assert.deepEqual(rig.sentOne("subscribe").options, { after: { epoch: "f", offset: 3 } });
});

test("a view of state is fetched anew after a reset, and nothing between counts", () => {
  const rig = new Rig().open();
  const id = rig.live1("a", 100, { state: true });
  rig.receive({ type: "reset", room: "a", epoch: "f", offset: 2, reason: "purged" });
  rig.message("a", 3);
  const { ref, options } = rig.sentOne("subscribe");
  assert.deepEqual(options, { state: true });
  rig.ok(ref, taken(0, false, "f"));
  rig.message("a", 1, 0);
  rig.message("a", 3, 1);
  rig.live("a", 3);
  assert.deepEqual(rig.delivered(id), ["reset", 1, 3]);
});

test("a view of state resumes where it can, and is fetched anew where it cannot", () => {
  const rig = new Rig().open();
  const id = rig.live1("a", 100, { state: true });
  rig.closed();
  rig.advance(125);
  rig.welcome();
  const resume = rig.sentOne("subscribe");
  assert.deepEqual(resume.options, { after: { epoch: "e", offset: 100 } });
  rig.ok(resume.ref, taken(500));
  rig.message("a", 501);
  const fresh = rig.sentOne("subscribe");
  assert.deepEqual(fresh.options, { state: true });
  rig.ok(fresh.ref, taken(0));
  rig.message("a", 400, 0);
  rig.message("a", 501, 400);
  assert.deepEqual(rig.delivered(id), ["reset", 400, 501]);
});

test("an ephemeral room has no position: every message is delivered, and it is asked for plainly", () => {
  const rig = new Rig().open();
  const id = rig.subscribe("eph.a", { echo: false });
  rig.ok(rig.sentOne("subscribe").ref, { epoch: "", offset: 0, recovered: false });
  rig.live("eph.a", 0);
  for (let i = 0; i < 3; i++) rig.message("eph.a", 0);
  assert.deepEqual(rig.delivered(id), [0, 0, 0]);
  assert.ok(rig.events(id).some((event) => event.kind === "live" && event.position === undefined));
  rig.receive({ type: "lagged" });
  assert.deepEqual(rig.sentOne("subscribe").options, { echo: false });
  rig.closed();
  rig.advance(125);
  rig.welcome();
  assert.deepEqual(rig.sentOne("subscribe").options, { echo: false });
});
