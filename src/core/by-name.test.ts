import assert from "node:assert/strict";
import { test } from "node:test";
import { ByName, type Named } from "./by-name.js";

interface Entry extends Named<Entry> {
  readonly value: number;
}

const entry = (value: number): Entry => ({ name: `n${value}`, value, following: undefined });
const valuesOf = (map: ByName<Entry>): number[] =>
  map
    .all()
    .map(({ value }) => value)
    .sort((a, b) => a - b);

test("does as a map does, with few entries and with many", () => {
  for (const count of [0, 1, 3, 8, 9, 10, 100]) {
    const map = new ByName<Entry>();
    const entries = Array.from({ length: count }, (_, value) => entry(value));
    for (const each of entries) map.add(each);
    assert.equal(map.size, count);
    for (const each of entries) assert.equal(map.get(each.name), each);
    assert.equal(map.get("other"), undefined);
    assert.deepEqual(
      valuesOf(map),
      entries.map(({ value }) => value),
    );
    // From the middle, the first that came and the last.
    const gone = [entries[Math.floor(count / 2)], entries[0], entries[count - 1]];
    for (const each of new Set(gone)) {
      if (each === undefined) continue;
      map.delete(each);
      assert.equal(map.get(each.name), undefined);
    }
    const left = entries.filter((each) => !gone.includes(each));
    assert.equal(map.size, left.length);
    assert.deepEqual(
      valuesOf(map),
      left.map(({ value }) => value),
    );
    for (const each of gone) if (each !== undefined && map.get(each.name) === undefined) map.add(each);
    assert.equal(map.size, count);
    for (const each of entries) assert.equal(map.get(each.name), each);
  }
});

test("entries may be taken out while somebody goes through them", () => {
  for (const count of [5, 20]) {
    const map = new ByName<Entry>();
    for (let value = 0; value < count; value += 1) map.add(entry(value));
    let seen = 0;
    for (const each of map.all()) {
      seen += 1;
      map.delete(each);
    }
    assert.deepEqual([seen, map.size, map.all()], [count, 0, []]);
  }
});
