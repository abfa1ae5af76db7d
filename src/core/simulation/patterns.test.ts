import assert from "node:assert/strict";
import { test } from "node:test";
import { simulatePatterns } from "./pattern-world.testkit.js";

/** `FANWIRE_SIM_SEED=n` runs that one seed, `FANWIRE_SIM_SEEDS=n` so many from 1 on. */
const only = process.env.FANWIRE_SIM_SEED;
const seeds = only === undefined ? Number(process.env.FANWIRE_SIM_SEEDS ?? 150) : 1;
const first = only === undefined ? 1 : Number(only);

test(`of patterns and rooms that overlap each message once, in order, or told: ${seeds} seeds from ${first}`, async (t) => {
  const total = { delivered: 0, resets: 0, lags: 0, changes: 0, refused: 0, gaps: 0, laneWaits: 0 };
  for (let seed = first; seed < first + seeds; seed += 1) {
    const outcome = await simulatePatterns(seed);
    assert.deepEqual(outcome.faults, [], `seed ${seed} (run it alone with FANWIRE_SIM_SEED=${seed})`);
    for (const name of Object.keys(total) as (keyof typeof total)[]) total[name] += outcome[name];
  }
  t.diagnostic(JSON.stringify(total));
  if (only !== undefined) return;
  // A simulation that met no trouble proves nothing.
  for (const [name, count] of Object.entries(total)) assert.ok(count > seeds / 20, `${name}: only ${count}`);
});
