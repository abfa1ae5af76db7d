import assert from "node:assert/strict";
import { test } from "node:test";
import { type Outcome, simulate } from "./world.testkit.js";

/** `FANWIRE_SIM_SEED=n` runs that one seed, `FANWIRE_SIM_SEEDS=n` so many from 1 on. */
const only = process.env.FANWIRE_SIM_SEED;
const seeds = only === undefined ? Number(process.env.FANWIRE_SIM_SEEDS ?? 1_000) : 1;
const first = only === undefined ? 1 : Number(only);

test(`received = published, in order, none twice, or told: ${seeds} seeds from ${first}`, async (t) => {
  const total = {
    delivered: 0,
    resets: 0,
    lags: 0,
    gaps: 0,
    drops: 0,
    historyReads: 0,
    laneWaits: 0,
    conflated: 0,
    conflationOverflows: 0,
    moves: 0,
    restored: 0,
  };
  for (let seed = first; seed < first + seeds; seed += 1) {
    const outcome: Outcome = await simulate(seed);
    assert.deepEqual(outcome.faults, [], `seed ${seed} (run it alone with FANWIRE_SIM_SEED=${seed})`);
    for (const name of Object.keys(total) as (keyof typeof total)[]) total[name] += outcome[name];
  }
  t.diagnostic(JSON.stringify(total));
  if (only !== undefined) return;
  // A simulation that met no trouble proves nothing.
  for (const [name, count] of Object.entries(total)) assert.ok(count > seeds / 20, `${name}: only ${count}`);
});
