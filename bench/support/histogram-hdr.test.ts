import assert from "node:assert/strict";
import { test } from "node:test";
import { build } from "hdr-histogram-js";
import { Histogram } from "./histogram.js";

test("quantiles are those of HdrHistogram at three digits", () => {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
  let state = seed;
  const random = (): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state / 2 ** 32;
  };
  const own = new Histogram();
  const hdr = build({
    numberOfSignificantValueDigits: 3,
    highestTrackableValue: 2 ** 31 - 1,
    autoResize: false,
  });
  for (let number = 0; number < 20_000; number++) {
    const value = Math.trunc(Math.exp(random() * 20));
    own.record(value);
    hdr.recordValue(value);
  }
  for (const share of [0.1, 0.5, 0.9, 0.99, 0.999, 1]) {
    const [ours, theirs] = [own.quantile(share), hdr.getValueAtPercentile(share * 100)];
    assert.ok(
      Math.abs(ours - theirs) <= theirs / 1_000 + 1,
      `SEED=${seed} ${share}: ${ours}, HdrHistogram ${theirs}`,
    );
  }
});
