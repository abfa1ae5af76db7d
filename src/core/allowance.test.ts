import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CodedError } from "../protocol/errors.js";
import { allowanceClock, allowances, allowanceVerdict, spend } from "./allowance.js";
import { EngineRig, type TestConnection } from "./engine-rig.testkit.js";
import { DEFAULT_LIMITS } from "./limits.js";

const limits = {
  ...DEFAULT_LIMITS,
  requestsPerSecond: 10,
  receivedBytesPerSecond: 20_000,
  roomsPerConnection: 1,
};

test("what keeps to its rate is within for good, at any time of the clock, over its wraps too", () => {
  const { requests } = allowances(limits);
  for (const startMs of [0, Date.now(), 8_388_607_000, 2 ** 31]) {
    let mark = 0;
    for (let step = 0; step < 400; step += 1) {
      const clock = allowanceClock(startMs + step * 60_000);
      mark = spend(mark, 20, requests, clock);
      assert.equal(allowanceVerdict(mark, requests, clock).kind, "within", `step ${step} from ${startMs}`);
    }
  }
});

test("never more than the burst and the rate is let through, and the time told is enough", () => {
  const { requests } = allowances(limits);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(3_000), fc.integer({ min: 1, max: 30 })), { maxLength: 60 }),
      (steps) => {
        let [mark, nowMs, passed] = [0, 1_000_000, 0];
        for (const [waitMs, count] of steps) {
          nowMs += waitMs;
          const clock = allowanceClock(nowMs);
          mark = spend(mark, count, requests, clock);
          const verdict = allowanceVerdict(mark, requests, clock);
          if (verdict.kind === "within") passed += count;
          if (verdict.kind === "over")
            assert.equal(
              allowanceVerdict(mark, requests, allowanceClock(nowMs + verdict.retryMs)).kind,
              "within",
            );
        }
        assert.ok(
          passed <= 20 + ((nowMs - 1_000_000) / 1_000) * 10 + 0.1,
          `${passed} by ${nowMs - 1_000_000} ms`,
        );
      },
    ),
  );
});

test("a mark is a small integer, and a rate of 0 is none", () => {
  const { requests, bytes } = allowances({ ...limits, receivedBytesPerSecond: 0 });
  let mark = 0;
  for (let step = 0; step < 10_000; step += 1)
    mark = spend(mark, 999_999, requests, allowanceClock(Date.now()));
  assert.equal(mark, mark | 0);
  assert.equal(spend(0, 1e9, bytes, 1), 0);
  assert.equal(allowanceVerdict(0, bytes, 1).kind, "within");
});

const PING = (ref: number) => Uint8Array.of(0x92, 7, ref);

function answers({ socket }: TestConnection): string[] {
  return socket.take().map((frame) => (frame.type === "error" ? `${frame.ref} ${frame.code}` : frame.type));
}

test("above the rate requests are told rate_limited by their ref, who does not stop is closed with 4429", () => {
  const rig = new EngineRig(limits);
  const client = rig.connect();
  client.socket.take();
  for (let ref = 1; ref <= 21; ref += 1) client.session.receive(PING(ref), rig.nowMs);
  assert.deepEqual(answers(client), [...Array<string>(20).fill("ok"), "21 rate_limited"]);
  rig.nowMs += 200;
  client.session.receive(PING(42), rig.nowMs);
  assert.deepEqual(answers(client), ["ok"]);
  for (let ref = 43; ref <= 83 && client.socket.closedWith === undefined; ref += 1)
    client.session.receive(PING(ref), rig.nowMs);
  assert.equal(client.socket.closedWith, 4429);
  assert.equal(answers(client).at(-1), "0 rate_limited");
  assert.equal(rig.counters.floodCloses, 1);
  assert.ok(rig.counters.requestsOverRate >= 10);
});

test("requests packed into one message count each, and each room of a subscribe many", async () => {
  const rig = new EngineRig(limits);
  const client = rig.connect();
  client.socket.take();
  const packed = Uint8Array.from(Array.from({ length: 21 }, (_, index) => [...PING(index + 1)]).flat());
  client.session.receive(packed, rig.nowMs);
  // What is refused is told at once, what is carried out when it is its turn.
  assert.deepEqual(answers(client).sort(), ["21 rate_limited", ...Array<string>(20).fill("ok")]);
  const other = rig.connect();
  other.socket.take();
  await other.subscribe("chat.a");
  for (let count = 0; count < 18; count += 1) other.session.receive(PING(2), rig.nowMs);
  other.socket.take();
  // subscribe many of two rooms, where one is left
  other.session.receive(Uint8Array.of(0x93, 8, 9, 0x92, 0x91, 0xa1, 0x61, 0x91, 0xa1, 0x62), rig.nowMs);
  assert.deepEqual(answers(other), ["9 rate_limited"]);
});

test("bytes are limited too, those of messages above the payload limit as well", () => {
  const rig = new EngineRig(limits);
  const client = rig.connect();
  client.socket.take();
  const large = new Uint8Array(40_000);
  client.session.receive(large, rig.nowMs);
  client.session.receive(large, rig.nowMs);
  assert.deepEqual(answers(client), ["0 too_large", "0 too_large"]);
  client.session.receive(PING(1), rig.nowMs);
  assert.deepEqual(answers(client), ["1 rate_limited"]);
  client.session.receive(large, rig.nowMs);
  client.session.receive(large, rig.nowMs);
  assert.equal(client.socket.closedWith, 4429);
});

test("pings of WebSocket itself count: a flood of them is closed, one in a while is not", () => {
  const rig = new EngineRig(limits);
  const client = rig.connect();
  for (let second = 0; second < 100; second += 1) {
    rig.nowMs += 1_000;
    client.session.heard(100, rig.nowMs);
  }
  assert.equal(client.socket.closedWith, undefined);
  for (let count = 0; count < 81; count += 1) client.session.heard(0, rig.nowMs);
  assert.equal(client.socket.closedWith, 4429);
});

test("the error says how much is allowed and when", () => {
  const rig = new EngineRig(limits);
  const client = rig.connect();
  for (let count = 0; count < 21; count += 1) client.session.receive(PING(1), rig.nowMs);
  const last = client.socket.take().at(-1);
  assert.ok(last?.type === "error");
  const error = new CodedError("rate_limited", "a connection may send 10 requests a second", 100);
  assert.deepEqual([last.code, last.text, last.retryMs], [error.code, error.message, error.retryMs]);
});

test("of requests that ask for no answer one refusal a message is told", () => {
  const rig = new EngineRig(limits);
  const client = rig.connect();
  for (let count = 0; count < 20; count += 1) client.session.receive(PING(0), rig.nowMs);
  client.socket.take();
  client.session.receive(Uint8Array.from([...PING(0), ...PING(0), ...PING(7), ...PING(0)]), rig.nowMs);
  assert.deepEqual(answers(client), ["0 rate_limited", "7 rate_limited"]);
});
