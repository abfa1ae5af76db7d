import assert from "node:assert/strict";
import { test } from "node:test";
import {
  cpuOf,
  fitModel,
  fitPrices,
  type Prices,
  predict,
  type Run,
  relativeError,
  type Sample,
  sampleOf,
  type Work,
} from "./model.js";

const TRUE: Prices = { write: 3.5, cold: 6, message: 0.12, byte: 0.0004, publish: 3, batch: 60, second: 0.8 };

const WORKS: Work[] = [
  { write: 200, cold: 190, message: 200, byte: 30_000, publish: 2_000, batch: 2_000, second: 300 },
  { write: 60_000, cold: 40000, message: 60_000, byte: 9_000_000, publish: 60, batch: 60, second: 3_000 },
  { write: 3_000, cold: 2900, message: 300_000, byte: 30_000_000, publish: 300, batch: 5, second: 3_000 },
  { write: 9_000, cold: 6000, message: 90_000, byte: 300_000_000, publish: 90, batch: 9, second: 2_000 },
  { write: 3_000, cold: 2500, message: 15_000, byte: 2_000_000, publish: 60_000, batch: 600, second: 600 },
  { write: 4_000, cold: 3900, message: 4_000, byte: 600_000, publish: 4, batch: 4, second: 40_000 },
  { write: 40_000, cold: 15000, message: 80_000, byte: 12_000_000, publish: 80, batch: 1500, second: 3_000 },
  { write: 20_000, cold: 17000, message: 320_000, byte: 48_000_000, publish: 320, batch: 20, second: 1_000 },
];

function samples(noise: (index: number) => number): Sample[] {
  return WORKS.map((work, index) => ({
    name: String(index),
    work,
    cpuMicros: cpuOf(TRUE, work) * noise(index),
  }));
}

test("prices are found again, where runs are as they say", () => {
  const prices = fitPrices(samples(() => 1));
  for (const name of ["write", "cold", "message", "publish", "batch", "second"] as const)
    assert.ok(Math.abs(prices[name] / TRUE[name] - 1) < 0.01, `${name}: ${prices[name]}`);
});

test("with noise predictions stay near, and no price is below zero", () => {
  const noisy = samples((index) => 1 + (index % 2 === 0 ? 0.06 : -0.06));
  const prices = fitPrices(noisy);
  assert.ok(Object.values(prices).every((price) => price >= 0));
  for (const sample of samples(() => 1)) assert.ok(relativeError(prices, sample) < 0.15);
});

test("how long a rest has to be is found, too, and predictions of other runs rest on it", () => {
  const runOf = ({ cold: _, ...work }: Work, index: number): Run => {
    const rested = { writes: work.write, perSecond: [2, 60, 10, 25, 5, 8, 40, 20][index] ?? 1 };
    return { name: String(index), work, rested, cpuMicros: 0 };
  };
  const truth = { prices: TRUE, restMs: 50 };
  const runs = WORKS.map(runOf).map((run) => ({ ...run, cpuMicros: predict(truth, run) }));
  const model = fitModel(runs);
  assert.equal(model.restMs, 50);
  const [run] = runs;
  assert.ok(run !== undefined);
  for (const perSecond of [1, 30, 100]) {
    const other = { ...run, rested: { writes: 5_000, perSecond } };
    assert.ok(Math.abs(predict(model, other) / predict(truth, other) - 1) < 0.02, `${perSecond}/s`);
  }
  assert.equal(sampleOf({ ...run, rested: { writes: 0, perSecond: 0 } }, 50).work.cold, 0);
});

test("no price is lower than what such work can take at all", () => {
  const cheap: Prices = { ...TRUE, write: 0, message: 0, byte: 0 };
  const given = WORKS.map((work, index) => ({ name: String(index), work, cpuMicros: cpuOf(cheap, work) }));
  const { write, message, byte } = fitPrices(given);
  assert.ok(write >= 1 && message >= 0.01 && byte >= 0.00005, JSON.stringify({ write, message, byte }));
});

test("too few runs are refused", () => {
  assert.throws(() => fitPrices(samples(() => 1).slice(0, 4)), /4 runs cannot tell 7 prices/);
});
