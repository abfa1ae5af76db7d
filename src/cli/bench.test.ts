import assert from "node:assert/strict";
import { test } from "node:test";
import { fanwire } from "./cli.testkit.js";

test("bench lists its scenarios and explains one", async () => {
  const list = await fanwire(["bench"]);
  assert.equal(list.code, 0);
  assert.match(list.stdout, /^ {2}fanout +CPU a delivery/m);
  assert.match(list.stdout, /^ {2}compare /m);
  assert.match((await fanwire(["bench", "--help"])).stdout, /fanwire bench fanout --help/);
  const fanout = await fanwire(["bench", "fanout", "--help"]);
  assert.equal(fanout.code, 0);
  assert.match(fanout.stdout, /--subscribers=N .*default 2000/);
});

test("bench refuses what it does not know with exit code 2", async () => {
  const scenario = await fanwire(["bench", "sook"]);
  assert.equal(scenario.code, 2);
  assert.match(scenario.stderr, /no scenario "sook"; did you mean soak\?/);
  const option = await fanwire(["bench", "soak", "--minute=3"]);
  assert.equal(option.code, 2);
  assert.match(option.stderr, /did you mean --minutes\?/);
});

test("bench runs one and ends", { timeout: 60_000 }, async () => {
  const { code, stdout, stderr } = await fanwire([
    ...["bench", "fanout", "--servers=engine", "--subscribers=5", "--seconds=0.1", "--repetitions=1"],
  ]);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^\| engine \|/m);
});
