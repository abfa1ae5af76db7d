import assert from "node:assert/strict";
import { test } from "node:test";
import { TestNode } from "../supervisor/node.testkit.js";
import { fuzz, healthOf, runScript } from "./fuzz.testkit.js";
import { readSeeds, scriptOf, seedOf } from "./seeds.testkit.js";

/** `FANWIRE_FUZZ_SECONDS=n` goes on for longer; so does `npm run fuzz`. */
const SECONDS = Number(process.env.FANWIRE_FUZZ_SECONDS ?? 30);
const ENV = {
  FANWIRE_WORKERS: "2",
  FANWIRE_DEMO: "true",
  FANWIRE_LIMITS_HANDSHAKE_LAG_MS: "60000",
  FANWIRE_LIMITS_HANDSHAKES_PER_SECOND: "100000",
};

test("whatever a client sends, the node stays as it is and tells nothing of itself", {
  timeout: 180_000 + SECONDS * 1_000,
}, async (t) => {
  const node = await TestNode.start(t, { env: ENV });
  const healthy = await healthOf(node);
  await t.test("what was found before", async () => {
    for (const seed of readSeeds())
      assert.equal((await runScript(node, scriptOf(seed)))?.problem, undefined, seed.name);
    assert.equal(await healthOf(node), healthy);
  });
  await t.test(`${SECONDS} s of a new seed`, async (each) => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const { runs, finding } = await fuzz(node, { seconds: SECONDS, seed });
    each.diagnostic(`${runs} connections of seed ${seed}`);
    const told =
      finding &&
      `${finding.problem}\nfor seeds.json: ${JSON.stringify(seedOf(`seed ${seed}`, finding.script))}`;
    assert.equal(told, undefined, node.stderr.slice(-4_000));
  });
  await node.until("as before", ({ connections }) => connections === 0);
  assert.equal(await healthOf(node), healthy);
});
