import assert from "node:assert/strict";
import { test } from "node:test";
import { Rig } from "./connection.testkit.js";

const taken = (offset: number, recovered = false, epoch = "e") => ({ epoch, offset, recovered });

test("all rooms of a turn go out as one request", () => {
  const rig = new Rig().open();
  for (const room of ["a", "b", "c"]) rig.subscribe(room);
  const sent = rig.sentOne("subscribeMany");
  assert.deepEqual(sent.rooms, [
    { room: "a", after: undefined },
    { room: "b", after: undefined },
    { room: "c", after: undefined },
  ]);
});

test("all rooms asked for before the connection go out as one request", () => {
  const rig = new Rig();
  rig.step({ kind: "connect" });
  for (let i = 0; i < 100; i++) rig.subscribe(`room.${i}`);
  rig.welcome();
  const sent = rig.sentOne("subscribeMany");
  assert.ok(Array.isArray(sent.rooms) && sent.rooms.length === 100);
});

test("one room goes out as a plain subscribe with its options", () => {
  const rig = new Rig().open();
  rig.subscribe("a", { last: 5, echo: false });
  assert.deepEqual(rig.sentOne("subscribe").options, { last: 5, echo: false });
});

test("rooms with different options go out as a request for each kind", () => {
  const rig = new Rig().open();
  rig.subscribe("a", { last: 5 });
  rig.subscribe("b", { state: true });
  rig.subscribe("c", { state: true });
  rig.subscribe("d", { after: { epoch: "e", offset: 7 } });
  rig.subscribe("f");
  const sent = rig.sent();
  assert.deepEqual(
    sent.map(({ type, options }) => [type, options]),
    [
      ["subscribe", { last: 5 }],
      ["subscribeMany", { state: true }],
      ["subscribeMany", {}],
    ],
  );
  assert.deepEqual(sent[2]?.rooms, [
    { room: "d", after: { epoch: "e", offset: 7 } },
    { room: "f", after: undefined },
  ]);
});

test("a watchlist larger than the server's largest message is split, and every part is below it", () => {
  const rig = new Rig().open({ maxBytes: 2_000 });
  for (let i = 0; i < 900; i++) {
    rig.subscribe(`market.x${"x".repeat(i % 100)}.${i}`, {
      after: { epoch: "é".repeat(5), offset: 2 ** 50 + i },
    });
  }
  const messages = rig.sentMessages();
  assert.ok(messages.length > 10);
  for (const message of messages) assert.ok(message.length <= 2_000, `${message.length}`);
  const rooms = messages
    .flatMap((bytes) => rig.decode(bytes))
    .flatMap((input) => (input.type === "subscribeMany" ? input.rooms : []));
  assert.equal(rooms.length, 900);
});

test("one result a room: taken, refused for good, refused for now", () => {
  const rig = new Rig().open();
  rig.random = 1;
  const ids = ["a", "b", "c", "d"].map((room) => rig.subscribe(room));
  const { ref } = rig.sentOne("subscribeMany");
  rig.ok(ref, [taken(3), ["forbidden", "no"], ["unavailable", "later"], ["rate_limited", "slower", 700]]);
  const kinds = ids.map((id) => rig.events(id).map((event) => event.kind));
  assert.deepEqual(kinds, [["state", "subscribed"], ["state", "error"], ["error"], ["error"]]);
  rig.advance(249);
  assert.deepEqual(rig.sent(), []);
  rig.advance(1);
  assert.equal(rig.sentOne("subscribe").room, "c");
  rig.advance(450);
  assert.equal(rig.sentOne("subscribe").room, "d");
  rig.advance(5_000);
  assert.deepEqual(rig.sent(), []);
});

test("a refusal of the whole request is one of every room in it", () => {
  const rig = new Rig().open();
  const ids = ["a", "b"].map((room) => rig.subscribe(room));
  rig.receive({
    type: "error",
    ref: rig.sentOne("subscribeMany").ref,
    code: "bad_request",
    text: "no",
    retryMs: undefined,
  });
  for (const id of ids) {
    const [state, error] = rig.events(id);
    assert.equal(state?.kind === "state" && state.state.kind, "failed");
    assert.equal(error?.kind === "error" && error.error.code, "bad_request");
  }
});

test("codes decide whether a room is asked for again", () => {
  const again = ["rate_limited", "unavailable", "timeout", "internal"] as const;
  const never = [
    "bad_request",
    "unauthenticated",
    "forbidden",
    "room_invalid",
    "too_large",
    "too_many_rooms",
  ] as const;
  for (const code of [...again, ...never]) {
    const rig = new Rig().open();
    rig.subscribe("a");
    const { ref } = rig.sentOne("subscribe");
    rig.receive({ type: "error", ref, code, text: "why", retryMs: 100 });
    rig.advance(100);
    assert.equal(
      rig.sent().length,
      code === "rate_limited" || again.some((one) => one === code) ? 1 : 0,
      code,
    );
  }
});

test("an answer that is none, or none in time, is a refusal for now", () => {
  for (const answer of [undefined, 5, null, {}, { epoch: 1, offset: 2 }, { epoch: "e", offset: -1 }]) {
    const rig = new Rig().open();
    const id = rig.subscribe("a");
    rig.ok(rig.sentOne("subscribe").ref, answer);
    assert.deepEqual(
      rig.events(id).map((event) => event.kind === "error" && event.error.code),
      ["internal"],
    );
    rig.advance(250);
    assert.equal(rig.sent().length, 1);
  }
  const rig = new Rig({ timeoutMs: 3_000 }).open();
  const id = rig.subscribe("a");
  const late = rig.sentOne("subscribe").ref;
  rig.advance(3_000);
  assert.deepEqual(
    rig.events(id).map((event) => event.kind === "error" && event.error.code),
    ["timeout"],
  );
  rig.advance(250);
  const { ref } = rig.sentOne("subscribe");
  rig.ok(late, taken(1));
  rig.message("a", 2);
  assert.deepEqual(rig.delivered(id), []);
  rig.ok(ref, taken(1));
  rig.message("a", 2);
  assert.deepEqual(rig.delivered(id), [2]);
});

test("messages are replayed, then live; live moves the position over what this class does not deliver", () => {
  const rig = new Rig().open();
  const id = rig.subscribe("a", { last: 2 });
  rig.ok(rig.sentOne("subscribe").ref, taken(3));
  rig.message("a", 4);
  rig.live("a", 7);
  rig.message("a", 8);
  assert.deepEqual(
    rig
      .events(id)
      .map((event) =>
        event.kind === "message"
          ? [event.message.offset, event.message.replayed]
          : event.kind === "state"
            ? event.state.kind
            : event.kind === "live"
              ? event.position?.offset
              : event.kind,
      ),
    ["replaying", "subscribed", [4, true], "live", 7, [8, false]],
  );
});

test("what is not above the last offset is dropped", () => {
  const rig = new Rig().open();
  const id = rig.live1("a", 10);
  for (const offset of [10, 11, 11, 10, 3, 12, 12]) rig.message("a", offset);
  rig.live("a", 11);
  rig.message("a", 12);
  assert.deepEqual(rig.delivered(id), [11, 12]);
});

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

test("unsubscribed: nothing more is delivered, and the server is told once it is open", () => {
  const rig = new Rig().open();
  const id = rig.live1("a", 10);
  rig.step({ kind: "unsubscribe", id });
  rig.message("a", 11);
  assert.deepEqual(rig.events(id), []);
  const { ref, room } = rig.sentOne("unsubscribe");
  assert.deepEqual([ref, room], [0, "a"]);
  rig.closed();
  rig.advance(125);
  rig.welcome();
  assert.deepEqual(rig.sent(), []);
});

test("unsubscribed before it was asked for, nothing is sent", () => {
  const rig = new Rig().open();
  const id = rig.subscribe("a");
  rig.step({ kind: "unsubscribe", id });
  assert.deepEqual(rig.sent(), []);
});

test("subscribed again in one turn: the server is left first, and old messages do not reach the new one", () => {
  const rig = new Rig().open();
  const old = rig.live1("a", 10);
  rig.step({ kind: "unsubscribe", id: old });
  const id = rig.subscribe("a");
  const sent = rig.sent();
  assert.deepEqual(
    sent.map(({ type }) => type),
    ["unsubscribe", "subscribe"],
  );
  rig.message("a", 11);
  rig.ok(sent[1]?.ref ?? 0, taken(20));
  rig.message("a", 21);
  assert.deepEqual([rig.delivered(old), rig.delivered(id)], [[], [21]]);
});

test("an answer to a subscription that was ended meanwhile is of no effect on the next", () => {
  const rig = new Rig().open();
  const old = rig.subscribe("a");
  const { ref: stale } = rig.sentOne("subscribe");
  rig.step({ kind: "unsubscribe", id: old });
  const id = rig.subscribe("a");
  const ref = rig.sent()[1]?.ref ?? 0;
  rig.ok(stale, taken(5));
  rig.message("a", 6);
  assert.deepEqual(rig.events(id), []);
  rig.ok(ref, taken(6));
  rig.message("a", 7);
  assert.deepEqual(rig.delivered(id), [7]);
});

test("frames about rooms that nobody asked for are ignored", () => {
  const rig = new Rig().open();
  rig.forget();
  rig.message("x", 1);
  rig.live("x", 1);
  rig.receive({ type: "reset", room: "x", epoch: "e", offset: 1, reason: "epoch" });
  rig.receive({ type: "members", room: "x", count: 1, joined: [], left: [] });
  rig.ok(77, {});
  assert.deepEqual(
    rig.effects.filter(({ kind }) => kind !== "wake"),
    [],
  );
});
