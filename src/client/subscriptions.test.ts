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

test("a long watchlist is asked for 200 rooms at a time, and each answer counts for its own rooms", () => {
  const rig = new Rig().open();
  const ids = Array.from({ length: 501 }, (_, i) => rig.subscribe(`r.${i}`));
  const sent = rig.sent();
  const slices = sent.map(({ rooms, room }) => (Array.isArray(rooms) ? rooms.map(roomOf) : [room]));
  assert.deepEqual(
    slices.map(({ length }) => length),
    [200, 200, 101],
  );
  assert.deepEqual(
    slices.flat(),
    ids.map((_, i) => `r.${i}`),
  );
  // In any order.
  [1, 2, 0].forEach((at) => {
    const rooms = slices[at] ?? [];
    rig.ok(
      sent[at]?.ref ?? 0,
      rooms.map((room) => taken(Number(String(room).slice(2)))),
    );
  });
  ids.forEach((id, i) => {
    rig.message(`r.${i}`, i + 1);
    assert.deepEqual(rig.delivered(id), [i + 1]);
  });
});

function roomOf(item: unknown): unknown {
  return typeof item === "object" && item !== null && Reflect.get(item, "room");
}

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

test("unsubscribed while it waits to ask again: the server, which may have taken it, is told", () => {
  const late = new Rig({ timeoutMs: 3_000 }).open();
  const id = late.subscribe("a");
  const { ref } = late.sentOne("subscribe");
  late.advance(3_000);
  late.step({ kind: "unsubscribe", id });
  assert.equal(late.sentOne("unsubscribe").room, "a");
  late.ok(ref, taken(1));
  late.message("a", 2);
  assert.deepEqual(late.delivered(id), []);
  late.advance(1_000);
  assert.deepEqual(late.sent(), []);

  const gaps = new Rig().open();
  const gapped = gaps.live1("a", 10);
  gaps.message("a", 13, 12);
  gaps.ok(gaps.sentOne("subscribe").ref, taken(10, true));
  gaps.message("a", 13, 12);
  assert.deepEqual(gaps.sent(), []);
  gaps.step({ kind: "unsubscribe", id: gapped });
  assert.equal(gaps.sentOne("unsubscribe").room, "a");
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

test("an older subscribe that the server says a later one took the place of does not end the room", () => {
  const replaced = "a later request of this connection for room a took the place of this one";
  for (const how of ["again", "timeout", "lagged"]) {
    for (const rooms of [["a"], ["a", "b"]]) {
      const rig = new Rig({ timeoutMs: 3_000 }).open();
      const before = rooms.map((room) => rig.subscribe(room));
      let ids = before;
      const [old] = rig.sent();
      if (how === "again") {
        for (const id of ids) rig.step({ kind: "unsubscribe", id });
        ids = rooms.map((room) => rig.subscribe(room));
      } else if (how === "lagged") {
        rig.receive({ type: "lagged" });
      } else {
        rig.advance(3_500);
      }
      const ref = rig.sent().at(-1)?.ref ?? 0;
      rig.forget();
      const many = rooms.length > 1;
      if (many) rig.ok(old?.ref ?? 0, [["bad_request", replaced], taken(5)]);
      else
        rig.receive({
          type: "error",
          ref: old?.ref ?? 0,
          code: "bad_request",
          text: replaced,
          retryMs: undefined,
        });
      for (const id of [...before, ...ids]) assert.deepEqual(rig.events(id), [], how);
      rig.ok(ref, many ? rooms.map(() => taken(6)) : taken(6));
      for (const room of rooms) rig.message(room, 7);
      for (const id of ids) assert.deepEqual(rig.delivered(id), [7], how);
    }
  }
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
