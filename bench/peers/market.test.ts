import assert from "node:assert/strict";
import { test } from "node:test";
import { Market, randomOf, symbolOf, updateNumber, watchList } from "./market.js";
import { numberOf } from "./payload.js";

const PLAN = { seed: 7, symbols: 5_000, watchMin: 50, watchMax: 500 };

test("few symbols are busy, and each one's updates are numbered", () => {
  const market = new Market(PLAN);
  const counts = new Uint32Array(PLAN.symbols);
  for (let number = 0; number < 50_000; number++) {
    const { symbol, payload } = market.next(0, 60);
    counts[symbol] = (counts[symbol] ?? 0) + 1;
    assert.equal(numberOf(payload), updateNumber(symbol, counts[symbol] ?? 0));
    assert.equal(symbolOf(numberOf(payload)), symbol);
  }
  assert.deepEqual([...market.updates], [...counts]);
  const sorted = [...counts].sort((a, b) => b - a);
  const busiest = sorted.slice(0, 50).reduce((sum, count) => sum + count, 0) / 50_000;
  assert.ok(busiest > 0.2 && busiest < 0.45, `the busiest hundredth has ${busiest}`);
});

test("watch lists are the same in every process, within their bounds, each symbol once", () => {
  for (let client = 0; client < 50; client++) {
    const list = watchList(PLAN, client);
    assert.deepEqual(list, watchList(PLAN, client));
    assert.equal(new Set(list).size, list.length);
    assert.ok(list.length >= 50 && list.length <= 500);
    assert.ok(list.every((symbol) => symbol >= 0 && symbol < PLAN.symbols));
  }
  assert.notDeepEqual(watchList(PLAN, 1), watchList(PLAN, 2));
});

test("shares are even, and the same from the same seed", () => {
  const [one, other] = [randomOf(3), randomOf(3)];
  let sum = 0;
  for (let number = 0; number < 10_000; number++) {
    const share = one();
    assert.equal(share, other());
    assert.ok(share >= 0 && share < 1);
    sum += share;
  }
  assert.ok(Math.abs(sum / 10_000 - 0.5) < 0.02);
});
