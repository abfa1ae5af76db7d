import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type BudgetEntry, ByteBudget } from "./byte-budget.js";

class Item implements BudgetEntry {
  readonly name: string;
  readonly bytes: number;
  older: BudgetEntry | undefined = undefined;
  newer: BudgetEntry | undefined = undefined;
  readonly #evicted: string[];

  constructor(name: string, bytes: number, evicted: string[]) {
    this.name = name;
    this.bytes = bytes;
    this.#evicted = evicted;
  }

  evict(): void {
    this.#evicted.push(this.name);
  }
}

test("the oldest entries go first, as many as it takes", () => {
  const evicted: string[] = [];
  const budget = new ByteBudget(10);
  assert.equal(budget.add(new Item("a", 4, evicted)), 0);
  assert.equal(budget.add(new Item("b", 4, evicted)), 0);
  assert.equal(budget.add(new Item("c", 2, evicted)), 0);
  assert.equal(budget.used, 10);
  assert.equal(budget.add(new Item("d", 5, evicted)), 2);
  assert.deepEqual(evicted, ["a", "b"]);
  assert.equal(budget.used, 7);
});

test("an entry above the whole limit evicts itself too", () => {
  const evicted: string[] = [];
  const budget = new ByteBudget(10);
  budget.add(new Item("a", 4, evicted));
  assert.equal(budget.add(new Item("b", 11, evicted)), 2);
  assert.deepEqual(evicted, ["a", "b"]);
  assert.equal(budget.used, 0);
  assert.equal(budget.add(new Item("c", 10, evicted)), 0);
});

test("an entry that was removed is not evicted, and may be added again as the newest", () => {
  const evicted: string[] = [];
  const budget = new ByteBudget(10);
  const items = ["a", "b", "c"].map((name) => new Item(name, 3, evicted));
  for (const item of items) budget.add(item);
  for (const item of items.slice(0, 2)) budget.remove(item);
  assert.equal(budget.used, 3);
  for (const item of items.slice(0, 2)) budget.add(item);
  budget.add(new Item("d", 3, evicted));
  assert.deepEqual(evicted, ["c"]);
});

test("behaves as a list that is trimmed from the front", (t) => {
  const seed = Number(process.env.FANWIRE_SEED ?? Date.now());
  t.diagnostic(`seed ${seed}`);
  const step = fc.oneof(
    fc.record({ add: fc.integer({ min: 0, max: 60 }) }),
    fc.record({ removeAt: fc.nat(20) }),
    fc.record({ readdAt: fc.nat(20) }),
  );
  const property = fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
    const evicted: string[] = [];
    const expectEvicted: string[] = [];
    const budget = new ByteBudget(100);
    let model: Item[] = [];
    const add = (item: Item) => {
      model.push(item);
      let count = 0;
      for (; model.reduce((sum, { bytes }) => sum + bytes, 0) > 100; count += 1)
        expectEvicted.push(model.shift()?.name ?? "");
      assert.equal(budget.add(item), count);
    };
    for (const [index, step] of steps.entries()) {
      if ("add" in step) add(new Item(`${index}`, step.add, evicted));
      else {
        const item = model["removeAt" in step ? step.removeAt : step.readdAt];
        if (item === undefined) continue;
        model = model.filter((other) => other !== item);
        budget.remove(item);
        if ("readdAt" in step) add(item);
      }
      assert.equal(
        budget.used,
        model.reduce((sum, { bytes }) => sum + bytes, 0),
      );
      assert.deepEqual(evicted, expectEvicted);
    }
  });
  fc.assert(property, { seed, numRuns: 500 });
});
