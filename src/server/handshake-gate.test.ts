import assert from "node:assert/strict";
import { test } from "node:test";
import { type GateVerdict, HandshakeGate, PROBE_MS } from "./handshake-gate.js";

const LIMITS = { handshakesPerSecond: 100, handshakeLagMs: 200 };

/** A gate whose loop is on time, unless the test says otherwise. */
function gate(limits = LIMITS): HandshakeGate {
  return new HandshakeGate(
    limits,
    0,
    () => 0.5,
    () => {},
  );
}

function many(of: HandshakeGate, count: number, nowMs: number): GateVerdict[] {
  return Array.from({ length: count }, () => of.decide(nowMs));
}

const admitted = (verdicts: readonly GateVerdict[]): number =>
  verdicts.filter(({ kind }) => kind === "admit").length;

test("a quarter of a second's worth may come at once, then the rate holds", () => {
  const it = gate();
  assert.equal(admitted(many(it, 1_000, 0)), 25);
  let count = 0;
  for (let nowMs = 10; nowMs <= 10_000; nowMs += 10) {
    if (nowMs % PROBE_MS === 0) it.probe(nowMs);
    count += admitted(many(it, 3, nowMs));
  }
  assert.equal(count, 1_000);
});

test("a rate below four a second still lets one in", () => {
  assert.equal(admitted(many(gate({ handshakesPerSecond: 1, handshakeLagMs: 200 }), 5, 0)), 1);
});

test("those sent away are told to come back one after the other, at the rate, at most 30 s later", () => {
  const it = gate();
  const waits = many(it, 5_025, 0).flatMap((verdict) => (verdict.kind === "rate" ? [verdict.retryMs] : []));
  assert.equal(waits.length, 5_000);
  assert.deepEqual(waits.slice(0, 3), [1_000, 1_010, 1_020]);
  assert.equal(waits[1_000], 11_000);
  assert.equal(Math.max(...waits), 30_000);
});

test("none is taken while the loop is late: as the last probe saw it, or right now", () => {
  const it = gate();
  assert.equal(it.decide(0).kind, "admit");
  it.probe(PROBE_MS + 201);
  assert.equal(it.decide(PROBE_MS + 210).kind, "lag");
  it.probe(2 * PROBE_MS + 201);
  assert.equal(it.decide(2 * PROBE_MS + 210).kind, "admit");
  // The next probe is due at 351: since then the loop has not turned.
  assert.equal(it.decide(551).kind, "admit");
  assert.equal(it.decide(552).kind, "lag");
});

test("the loop is watched while handshakes come, and no longer", () => {
  let asked = 0;
  const it = new HandshakeGate(
    LIMITS,
    0,
    () => 0.5,
    () => {
      asked += 1;
    },
  );
  assert.equal(asked, 0);
  it.decide(10_000);
  it.decide(10_001);
  assert.equal(asked, 1);
  assert.equal(it.probe(10_050), true);
  it.decide(10_500);
  assert.equal(it.probe(11_499), true);
  assert.equal(it.probe(11_550), false);
  // What a probe saw long ago says nothing now, nor does the time since.
  assert.equal(it.decide(20_000).kind, "admit");
  assert.equal(asked, 2);
  assert.equal(it.decide(20_251).kind, "lag");
});
