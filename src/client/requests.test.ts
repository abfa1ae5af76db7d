import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRoom } from "../protocol/room-name.js";
import { Rig } from "./connection.testkit.js";
import { ModelServer } from "./model-server.testkit.js";

const position = { epoch: "e", offset: 1 };

test("requests of one turn go out in order in one WebSocket message", () => {
  const rig = new Rig().open();
  for (let i = 0; i < 50; i++) rig.publish("a", i);
  const messages = rig.sentMessages();
  assert.equal(messages.length, 1);
  const data = rig
    .decode(messages[0] ?? new Uint8Array())
    .map((input) => input.type === "publish" && input.data[0]);
  assert.deepEqual(
    data,
    Array.from({ length: 50 }, (_, i) => i),
  );
});

test("no WebSocket message is larger than the server takes", () => {
  const rig = new Rig().open({ maxBytes: 1_500 });
  for (let i = 0; i < 100; i++) rig.publish("a", new Uint8Array(i * 13));
  const messages = rig.sentMessages();
  assert.ok(messages.length > 30);
  for (const message of messages) assert.ok(message.length <= 1_500);
});

test("a request that alone is larger is refused as too_large", () => {
  const rig = new Rig().open({ maxBytes: 1_500 });
  const id = rig.publish("a", new Uint8Array(1_500));
  const next = rig.publish("a", 1);
  assert.equal(rig.sentOne("publish").room, "a");
  assert.deepEqual([rig.refusal(id).code, rig.refusal(id).maybeDone], ["too_large", false]);
  assert.equal(rig.answer(next), undefined);
});

test("each answer settles its own request, once", () => {
  const rig = new Rig().open();
  const a = rig.publish("a", 1);
  const b = rig.publish("a", 2);
  const [first, second] = rig.sent();
  rig.receive({
    type: "error",
    ref: second?.ref ?? 0,
    code: "rate_limited",
    text: "slower",
    retryMs: 40,
  });
  rig.ok(first?.ref ?? 0, position);
  rig.ok(first?.ref ?? 0, { epoch: "x", offset: 9 });
  rig.closed();
  assert.deepEqual(rig.answer(a), position);
  assert.deepEqual([rig.refusal(b).code, rig.refusal(b).retryMs], ["rate_limited", 40]);
});

test("data that cannot be sent is refused, and takes no place", () => {
  const rig = new Rig({ queueMessages: 1 });
  const id = rig.publish("a", () => 1);
  assert.equal(rig.refusal(id).code, "bad_request");
  assert.equal(rig.answer(rig.publish("a", 1)), undefined);
});

test("data is what it was at the call", () => {
  const rig = new Rig();
  const data = { n: 1 };
  rig.publish("a", data);
  data.n = 2;
  rig.open();
  const [message] = rig.sentMessages();
  const [input] = rig.decode(message ?? new Uint8Array());
  assert.ok(input?.type === "publish");
  assert.deepEqual([...input.data], [0x81, 0xa1, 0x6e, 1]);
});

test("before a connection requests wait, behind the rooms; above the bound they are refused at once", () => {
  const rig = new Rig({ queueMessages: 3 });
  const ids = [1, 2, 3, 4].map((n) => rig.publish("a", n));
  rig.subscribe("a");
  assert.deepEqual(
    [rig.refusal(ids[3] ?? 0).code, rig.refusal(ids[3] ?? 0).maybeDone],
    ["unavailable", false],
  );
  rig.open();
  assert.deepEqual(
    rig.sent().map(({ type }) => type),
    ["subscribe", "publish", "publish", "publish"],
  );
});

test("the bound counts bytes as well, and what has left no longer", () => {
  const rig = new Rig({ queueBytes: 1_000 });
  assert.equal(rig.answer(rig.publish("a", new Uint8Array(900))), undefined);
  assert.equal(rig.refusal(rig.publish("a", new Uint8Array(900))).code, "unavailable");
  rig.open();
  rig.sent();
  rig.closed();
  assert.equal(rig.answer(rig.publish("a", new Uint8Array(900))), undefined);
});

test("at most 128 are under way; each answer lets the next go", () => {
  const rig = new Rig().open();
  for (let i = 0; i < 300; i++) rig.publish("a", i);
  const sent = rig.sent();
  assert.equal(sent.length, 128);
  rig.ok(sent[0]?.ref ?? 0, position);
  rig.ok(sent[1]?.ref ?? 0, position);
  assert.equal(rig.sent().length, 2);
});

test("in flight when the connection breaks: publishes have an unknown outcome, what waits goes on waiting", () => {
  const rig = new Rig().open();
  const sent = rig.publish("a", 1);
  rig.sent();
  rig.closed();
  const queued = rig.publish("a", 2);
  const error = rig.refusal(sent);
  assert.deepEqual([error.code, error.maybeDone], ["unavailable", true]);
  assert.match(error.message, /may or may not/);
  rig.advance(125);
  rig.welcome();
  const { ref } = rig.sentOne("publish");
  rig.ok(ref, position);
  assert.deepEqual(rig.answer(queued), position);
});

test("history is asked for again after a break, before what waited behind it", () => {
  const rig = new Rig().open();
  const id = rig.request({ type: "history", room: parseRoom("a"), options: {} });
  rig.sent();
  rig.closed();
  rig.publish("a", 2);
  rig.advance(125);
  rig.welcome();
  const [history, publish] = rig.sent();
  assert.deepEqual([history?.type, publish?.type], ["history", "publish"]);
  rig.ok(history?.ref ?? 0, "page");
  assert.equal(rig.answer(id), "page");
});

/** A connection and its server with nothing but time between them. */
function served(): { rig: Rig; server: ModelServer; turn: () => string[] } {
  const rig = new Rig();
  const server = new ModelServer(["a"]);
  rig.step({ kind: "connect" });
  server.connected();
  rig.receive(...server.take(1));
  const turn = (): string[] => {
    const inputs = rig.sentMessages().flatMap((bytes) => rig.decode(bytes));
    server.receive(inputs);
    return inputs.map(({ type }) => type);
  };
  return { rig, server, turn };
}

test("lagged: an answer that has not come is not coming, so publishes have an unknown outcome", () => {
  const { rig, server, turn } = served();
  const early = rig.publish("a", 1);
  const lost = [rig.publish("a", 2), rig.publish("a", 3)];
  assert.deepEqual(turn(), ["publish", "publish", "publish"]);
  const late = server.take(3);
  rig.receive(...late.slice(0, 1));
  server.drop(0);
  const queued = rig.publish("a", 4);
  rig.receive(...server.take(1));
  assert.deepEqual(rig.answer(early), { epoch: "e0", offset: 1 });
  for (const id of lost) {
    const { code, maybeDone, message } = rig.refusal(id);
    assert.deepEqual([code, maybeDone], ["unavailable", true]);
    assert.match(message, /lagged.*may or may not/);
  }
  // The one that was not under way is sent, and those that come all the same are of no effect.
  rig.receive(...late);
  assert.deepEqual(turn(), ["publish"]);
  rig.receive(...server.take(9));
  assert.deepEqual(rig.answer(queued), { epoch: "e0", offset: 4 });
  // Past every timeout.
  rig.advance(10_500);
  for (const id of [early, ...lost, queued]) rig.answer(id);
  assert.deepEqual(rig.sent(), []);
});

test("lagged: what does no harm is asked once more, at once, and settled by whichever answer comes first", () => {
  const kinds = ["history", "ping", "authenticate"];
  for (const first of ["old", "new", "none"]) {
    const { rig, server, turn } = served();
    const ids = [
      rig.request({ type: "history", room: parseRoom("a"), options: {} }),
      rig.request({ type: "ping" }),
      rig.request({ type: "authenticate", token: "t" }),
    ];
    assert.deepEqual(turn(), kinds);
    const late = server.take(3);
    server.drop(0);
    rig.receive(...server.take(1));
    assert.deepEqual(turn(), kinds);
    const again = server.take(3);
    if (first === "none") {
      server.drop(0);
      rig.receive(...server.take(1));
      for (const id of ids) assert.equal(rig.refusal(id).code, "unavailable");
      assert.equal(rig.refusal(ids[0] ?? 0).maybeDone, false);
    } else {
      rig.receive(...(first === "old" ? late : again));
      for (const id of ids) assert.deepEqual(rig.answer(id), { time: 1 });
    }
    rig.receive(...late, ...again);
    for (const id of ids) rig.answer(id);
    assert.deepEqual(turn(), [], "once");
  }
});

test("a timeout says whether the request had left", () => {
  const rig = new Rig();
  const waiting = rig.publish("a", 1, 500);
  rig.advance(500);
  assert.deepEqual([rig.refusal(waiting).code, rig.refusal(waiting).maybeDone], ["timeout", false]);
  rig.open();
  assert.deepEqual(rig.sent(), []);
  const sent = rig.publish("a", 1, 500);
  const { ref } = rig.sentOne("publish");
  rig.advance(499);
  assert.equal(rig.answer(sent), undefined);
  rig.advance(1);
  assert.deepEqual([rig.refusal(sent).code, rig.refusal(sent).maybeDone], ["timeout", true]);
  rig.ok(ref, position);
});

test("a closed connection refuses requests at once, and those that waited or were under way", () => {
  const rig = new Rig().open();
  const sent = rig.publish("a", 1);
  rig.sent();
  const queued = rig.publish("a", 2);
  rig.closed(4403);
  const after = rig.publish("a", 3);
  for (const id of [sent, queued, after]) assert.equal(rig.refusal(id).code, "closed");
  assert.deepEqual(
    [sent, queued, after].map((id) => rig.refusal(id).maybeDone),
    [true, false, false],
  );
});

test("a ping is of now: without a connection it is refused", () => {
  const rig = new Rig();
  assert.equal(rig.refusal(rig.request({ type: "ping" })).code, "unavailable");
});
