import assert from "node:assert/strict";
import { test } from "node:test";
import { withoutDrift } from "./polish.js";

test("a slow round and a value that is far off move no point", () => {
  const points = [100, 200, 50, 400];
  const rounds = [1, 1.5, 0.9, 1.1, 1].map((drift) => points.map((point) => point * drift));
  (rounds[2] ?? [])[1] = 5_000;
  const found = withoutDrift(rounds);
  for (const [index, point] of points.entries())
    assert.ok(Math.abs((found[index] ?? 0) / point - 1) < 0.11, `${found[index]} for ${point}`);
  const ratio = (found[3] ?? 0) / (found[0] ?? 1);
  assert.ok(Math.abs(ratio - 4) < 1e-6, "drift is no point's");
});
