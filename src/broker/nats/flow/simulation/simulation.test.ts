import assert from "node:assert/strict";
import { test } from "node:test";
import { simulate } from "./world.testkit.js";

/** `FANWIRE_SIM_SEED=n` runs that one seed, `FANWIRE_SIM_SEEDS=n` so many from 1 on. */
const only = process.env.FANWIRE_SIM_SEED;
const seeds = only === undefined ? Number(process.env.FANWIRE_SIM_SEEDS ?? 1_500) : 1;
const first = only === undefined ? 1 : Number(only);

test(`every room gets all that its stream stores, in order, none twice, or is told: ${seeds} seeds from ${first}`, (t) => {
  const total: Record<string, number> = {};
  for (let seed = first; seed < first + seeds; seed += 1) {
    const { faults, ...counts } = simulate(seed);
    assert.deepEqual(faults, [], `seed ${seed} (run it alone with FANWIRE_SIM_SEED=${seed})`);
    for (const [name, count] of Object.entries(counts)) total[name] = (total[name] ?? 0) + count;
  }
  t.diagnostic(JSON.stringify(total));
  if (only !== undefined) return;
  // A simulation that met no trouble proves nothing.
  for (const [name, count] of Object.entries(total)) assert.ok(count > seeds / 20, `${name}: only ${count}`);
});
