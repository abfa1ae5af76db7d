import assert from "node:assert/strict";
import { test } from "node:test";
import { Histogram } from "../support/histogram.js";
import { boundOf } from "./frontier.js";

function of(micros: number): Histogram {
  const histogram = new Histogram();
  histogram.record(micros);
  return histogram;
}

test("a worker is late only where its clients are not", () => {
  const good = { clientBusy: 0.5, clientDelay: of(2_000), latency: of(30_000), troubles: [] };
  assert.equal(boundOf(good), undefined);
  assert.equal(boundOf({ ...good, clientDelay: of(20_000) }), undefined, "late clients that saw all in time");
  assert.equal(boundOf({ ...good, latency: of(80_000) }), "latency");
  assert.equal(boundOf({ ...good, troubles: ["1 failures"] }), "latency");
  assert.equal(boundOf({ ...good, latency: of(80_000), clientDelay: of(20_000) }), "clients");
  assert.equal(boundOf({ ...good, clientBusy: 0.97 }), "clients");
});
