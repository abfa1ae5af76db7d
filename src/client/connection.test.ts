import assert from "node:assert/strict";
import { test } from "node:test";
import { Rig } from "./connection.testkit.js";

function waiting(rig: Rig): { attempt: number; resumeAtMs: number; by: string } {
  assert.equal(rig.state.kind, "waiting");
  return rig.state.kind === "waiting" ? rig.state : { attempt: -1, resumeAtMs: -1, by: "" };
}

test("it does nothing until it is told to connect", () => {
  const rig = new Rig();
  rig.advance(60_000);
  assert.deepEqual(rig.effects, []);
  assert.deepEqual(rig.state, { kind: "idle" });
});

test("it is open from the welcome on, not from the socket on", () => {
  const rig = new Rig();
  rig.step({ kind: "connect" });
  assert.deepEqual(rig.state, { kind: "connecting", attempt: 0 });
  rig.welcome();
  assert.deepEqual(rig.state, {
    kind: "open",
    attempt: 0,
    session: "s1",
    node: "n1",
    sinceMs: 1_000,
    transport: "websocket",
    leaving: undefined,
  });
  assert.deepEqual(rig.states(), ["connecting", "open"]);
});

test("connecting twice makes one socket", () => {
  const rig = new Rig();
  rig.step({ kind: "connect" });
  rig.step({ kind: "connect" });
  rig.welcome();
  rig.step({ kind: "connect" });
  assert.equal(rig.effects.filter(({ kind }) => kind === "connect").length, 1);
});

test("a handshake that does not complete is given up after the timeout", () => {
  const rig = new Rig({ timeoutMs: 3_000 });
  rig.step({ kind: "connect" });
  rig.advance(2_999);
  assert.equal(rig.state.kind, "connecting");
  rig.advance(1);
  assert.equal(rig.state.kind, "waiting");
  assert.ok(rig.effects.some(({ kind }) => kind === "close"));
});

test("backoff doubles from its base to its cap, with full jitter", () => {
  for (const random of [0, 0.5, 0.999]) {
    const rig = new Rig();
    rig.random = random;
    rig.step({ kind: "connect" });
    for (const [index, upToMs] of [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000].entries()) {
      rig.closed();
      const { attempt, resumeAtMs, by } = waiting(rig);
      assert.deepEqual([attempt, resumeAtMs - rig.nowMs, by], [index + 1, random * upToMs, "backoff"]);
      rig.advance(resumeAtMs - rig.nowMs);
      assert.equal(rig.state.kind, "connecting");
    }
  }
});

test("only a connection that stood for a while starts backoff anew", () => {
  const rig = new Rig();
  rig.step({ kind: "connect" });
  for (const attempt of [1, 2, 3]) {
    rig.welcome();
    rig.advance(9_000);
    rig.receive();
    rig.closed();
    assert.equal(waiting(rig).attempt, attempt);
    rig.advance(waiting(rig).resumeAtMs - rig.nowMs);
  }
  rig.welcome();
  rig.advance(10_000);
  rig.closed();
  assert.equal(waiting(rig).attempt, 1);
});

test("close codes decide whether and when to come back", () => {
  const table: [code: number, freshTokens: boolean, outcome: "closed" | "waiting", upToMs?: number][] = [
    [4400, true, "closed"],
    [4403, true, "closed"],
    [4401, false, "closed"],
    [4401, true, "waiting", 250],
    [1000, false, "waiting", 250],
    [1001, false, "waiting", 250],
    [1006, false, "waiting", 250],
    [1011, false, "waiting", 250],
    [1012, false, "waiting", 250],
    [4499, false, "waiting", 250],
    [4408, false, "waiting", 2_000],
    [4429, false, "waiting", 2_000],
    [4503, false, "waiting", 2_000],
  ];
  for (const [code, freshTokens, outcome, upToMs = 0] of table) {
    const rig = new Rig(freshTokens ? { token: () => "t" } : { token: "t" }).open();
    rig.random = 1;
    rig.closed(code, "why");
    assert.equal(rig.state.kind, outcome, `${code}`);
    if (outcome === "waiting") {
      assert.equal(waiting(rig).resumeAtMs, rig.nowMs + upToMs, `${code}`);
    } else {
      assert.deepEqual(rig.state, { kind: "closed", code, reason: "why" });
      assert.ok(rig.effects.some((effect) => effect.kind === "error" && effect.error.code === "closed"));
      rig.advance(60_000);
      assert.equal(rig.state.kind, "closed");
    }
  }
});

test("a connection that was refused for good may be asked for again", () => {
  const rig = new Rig().open();
  const id = rig.subscribe("a");
  rig.closed(4403);
  rig.step({ kind: "connect" });
  rig.welcome();
  assert.equal(rig.sentOne("subscribe").room, "a");
  assert.notEqual(id, 0);
});

test("goaway: it goes on receiving, leaves at the given time, and comes back at once", () => {
  const rig = new Rig().open();
  const id = rig.live1("a", 5);
  rig.receive({ type: "goaway", reason: "deploy", delayMs: 3_000 });
  assert.deepEqual(rig.state.kind === "open" && rig.state.leaving, {
    atMs: rig.nowMs + 3_000,
    reason: "deploy",
  });
  rig.advance(2_999);
  rig.message("a", 6);
  assert.deepEqual(rig.delivered(id), [6]);
  rig.advance(1);
  assert.deepEqual(rig.states().slice(-2), ["waiting", "connecting"]);
  rig.welcome();
  assert.deepEqual(rig.sentOne("subscribe").options, { after: { epoch: "e", offset: 6 } });
});

test("goaway: a socket that the server closes before the time waits for it, whatever network and page do", () => {
  const rig = new Rig().open();
  rig.receive({ type: "goaway", reason: "deploy", delayMs: 3_000 });
  rig.advance(1_000);
  rig.closed(1012);
  const { resumeAtMs, by } = waiting(rig);
  assert.deepEqual([resumeAtMs - rig.nowMs, by], [2_000, "server"]);
  rig.step({ kind: "online" });
  rig.step({ kind: "visible" });
  assert.equal(rig.state.kind, "waiting");
  rig.advance(2_000);
  assert.equal(rig.state.kind, "connecting");
});

test("goaway: what is published past the time waits for the next connection, answers under way are waited for", () => {
  const rig = new Rig().open();
  const before = rig.publish("a", 1);
  const { ref } = rig.sentOne("publish");
  rig.receive({ type: "goaway", reason: "deploy", delayMs: 100 });
  rig.advance(100);
  const past = rig.publish("a", 2);
  assert.deepEqual(rig.sent(), []);
  assert.equal(rig.state.kind, "open");
  rig.ok(ref, { epoch: "e", offset: 1 });
  assert.deepEqual(rig.answer(before), { epoch: "e", offset: 1 });
  rig.advance(0);
  assert.equal(rig.state.kind, "connecting");
  rig.welcome();
  assert.deepEqual(rig.sentOne("publish").room, "a");
  assert.equal(rig.answer(past), undefined);
});

test("goaway: an answer that does not come holds it for a second at the most", () => {
  const rig = new Rig().open();
  const id = rig.publish("a", 1);
  rig.sent();
  rig.receive({ type: "goaway", reason: "deploy", delayMs: 100 });
  rig.advance(1_099);
  assert.equal(rig.state.kind, "open");
  rig.advance(1);
  assert.equal(rig.state.kind, "connecting");
  assert.deepEqual([rig.refusal(id).code, rig.refusal(id).maybeDone], ["unavailable", true]);
});

test("goaway: a server that always sends everyone on is met with backoff", () => {
  const rig = new Rig();
  rig.random = 1;
  rig.step({ kind: "connect" });
  const delaysMs: number[] = [];
  for (let i = 0; i < 4; i++) {
    rig.welcome();
    rig.receive({ type: "goaway", reason: "no", delayMs: 0 });
    if (rig.state.kind === "open") rig.closed(1012);
    delaysMs.push(waiting(rig).resumeAtMs - rig.nowMs);
    rig.advance(waiting(rig).resumeAtMs - rig.nowMs);
  }
  assert.deepEqual(delaysMs, [0, 500, 1_000, 2_000]);
});

test("network or page back: a backoff is cut short, a standing connection is doubted", () => {
  for (const kind of ["online", "visible"] as const) {
    const rig = new Rig().open();
    rig.closed(1006);
    rig.closed(1006);
    rig.step({ kind });
    assert.deepEqual(rig.state, { kind: "connecting", attempt: 1 });
    rig.welcome();
    rig.advance(5_000);
    rig.receive();
    rig.forget();
    rig.step({ kind });
    assert.equal(rig.sentMessages().length, 1);
    rig.advance(10_000);
    assert.equal(rig.state.kind, "waiting");
  }
});

test("a hidden page waits longer, and no longer once it is seen", () => {
  const rig = new Rig().open();
  rig.random = 1;
  rig.step({ kind: "hidden" });
  rig.closed();
  assert.equal(waiting(rig).resumeAtMs - rig.nowMs, 1_000);
  rig.step({ kind: "visible" });
  assert.equal(rig.state.kind, "connecting");
});

test("pings are spread out below what the server asks for, and give the round trip", () => {
  for (const random of [0, 0.5, 1]) {
    const rig = new Rig().open({ pingMs: 20_000 });
    rig.random = random;
    const atMs: number[] = [];
    for (let i = 0; i < 120_000; i++) {
      rig.advance(1);
      const refs = rig.connection.state.kind === "open" ? pingRefs(rig) : [];
      if (refs.length === 0) continue;
      atMs.push(rig.nowMs);
      rig.advance(30);
      for (const ref of refs) rig.ok(ref, { time: 1 });
      assert.ok(rig.effects.some((effect) => effect.kind === "latency" && effect.ms === 30));
    }
    assert.ok(atMs.length > 5);
    for (const [index, ms] of atMs.entries()) {
      if (index > 0) assert.ok(ms - (atMs[index - 1] ?? 0) < 20_000 && ms - (atMs[index - 1] ?? 0) >= 10_000);
    }
  }
});

function pingRefs(rig: Rig): number[] {
  return rig
    .sentMessages()
    .map((bytes) => rig.decode(bytes))
    .flatMap((inputs) => inputs.flatMap((input) => (input.type === "ping" ? [input.ref] : [])));
}

test("while timers are slowed down, what is received gives the occasion to ping", () => {
  const rig = new Rig().open({ pingMs: 20_000 });
  rig.nowMs += 19_000;
  rig.receive();
  assert.equal(pingRefs(rig).length, 1);
});

test("a connection that says nothing after a ping is dead; any byte is a sign of life", () => {
  const rig = new Rig({ deadMs: 4_000 });
  rig.random = 1;
  rig.open({ pingMs: 20_000 });
  rig.advance(1_000);
  rig.advance(3_000);
  rig.receive();
  rig.advance(15_000);
  assert.equal(rig.state.kind, "open");
  // The second ping goes out at 1,000 + 18,000; nothing is heard from then on.
  rig.advance(3_999);
  assert.equal(rig.state.kind, "open");
  rig.advance(1);
  assert.equal(rig.state.kind, "waiting");
  assert.ok(rig.effects.some((effect) => effect.kind === "close" && effect.code === 4408));
});

test("what does not decode ends the connection, is told, and is tried again", () => {
  const rig = new Rig().open();
  rig.step({ kind: "garbled", reason: "text" });
  assert.equal(rig.state.kind, "waiting");
  assert.ok(rig.effects.some((effect) => effect.kind === "error" && effect.error.code === "bad_request"));
});

test("errors about the connection are told", () => {
  const rig = new Rig().open();
  rig.receive({ type: "error", ref: 0, code: "rate_limited", text: "slower", retryMs: 5 });
  const told = rig.effects.find((effect) => effect.kind === "error");
  assert.deepEqual(told?.kind === "error" && [told.error.code, told.error.retryMs], ["rate_limited", 5]);
});

test("disconnect keeps rooms and queue for the next connect; close ends all", () => {
  const rig = new Rig().open();
  rig.live1("a", 3);
  rig.step({ kind: "disconnect" });
  assert.equal(rig.state.kind, "idle");
  assert.equal(rig.wakeAtMs, Number.POSITIVE_INFINITY);
  const id = rig.publish("a", 1);
  rig.step({ kind: "connect" });
  rig.welcome();
  assert.deepEqual(
    rig.sent().map(({ type }) => type),
    ["subscribe", "publish"],
  );
  rig.step({ kind: "close" });
  assert.deepEqual(rig.state, { kind: "closed", code: 1000, reason: "closed by the application" });
  assert.equal(rig.refusal(id).code, "closed");
  assert.equal(rig.wakeAtMs, Number.POSITIVE_INFINITY);
  rig.step({ kind: "disconnect" });
  assert.equal(rig.state.kind, "closed");
  rig.step({ kind: "connect" });
  rig.welcome();
  assert.deepEqual(rig.sent(), []);
});

test("closed before the time of a wake, it asks for a new one when it connects again", () => {
  const rig = new Rig().open();
  rig.step({ kind: "close" });
  rig.step({ kind: "connect" });
  assert.equal(rig.wakeAtMs, rig.nowMs + 10_000);
});
