import assert from "node:assert/strict";
import { test } from "node:test";
import { Admission, type HandshakeRequest, type House } from "./gateway-admission.js";
import { createGatewayCounters } from "./gateway-limits.js";
import { HandshakeGate } from "./handshake-gate.js";

const ROOMY: House = { sockets: 0, socketsMax: 10, leaving: false };

function request(headers: Readonly<Record<string, string>> = {}): HandshakeRequest {
  const all: Readonly<Record<string, string>> = {
    upgrade: "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    ...headers,
  };
  return { getCaseSensitiveMethod: () => "GET", getHeader: (name) => all[name] ?? "" };
}

function start(random = () => 0.5) {
  const counters = createGatewayCounters();
  // Four at once.
  const gate = new HandshakeGate({ handshakesPerSecond: 16, handshakeLagMs: 200 }, 0, random, () => {});
  return { counters, admission: new Admission({ origins: [], gate, counters, random }) };
}

test("handshakes that are refused anyway take nothing of the rate from those that are not", () => {
  const { admission, counters } = start();
  for (let count = 0; count < 100; count += 1) {
    assert.equal(admission.decide(request({ "sec-websocket-version": "8" }), ROOMY, 0).kind, "refuse");
    assert.equal(admission.decide(request(), { ...ROOMY, sockets: 10 }, 0).kind, "refuse");
  }
  assert.deepEqual([counters.upgradesRefused, counters.handshakesOverRate], [200, 0]);
  for (let count = 0; count < 4; count += 1)
    assert.equal(admission.decide(request(), ROOMY, 0).kind, "accept");
  assert.equal(admission.decide(request(), ROOMY, 0).kind, "refuse");
  assert.deepEqual([counters.upgradesRefused, counters.handshakesOverRate], [201, 1]);
});

test("those who find the server full or leaving are told different times to come back", () => {
  let random = 0;
  const { admission } = start(() => random);
  for (const house of [
    { ...ROOMY, sockets: 10 },
    { ...ROOMY, leaving: true },
  ]) {
    const waits = [0, 0.5, 1].map((value) => {
      random = value;
      const decision = admission.decide(request(), house, 0);
      return decision.kind === "refuse" ? decision.error.retryMs : undefined;
    });
    assert.deepEqual(waits, [500, 1_000, 1_500]);
  }
});
