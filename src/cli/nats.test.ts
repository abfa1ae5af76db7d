import assert from "node:assert/strict";
import { test } from "node:test";
import { NatsServer } from "../broker/nats/nats-server.testkit.js";
import { fanwire } from "./cli.testkit.js";

const MARKET = JSON.stringify({ market: { state: true } });

test("nats provision shows its plan, does it, and says what would lose data", async (t) => {
  const server = await NatsServer.start();
  t.after(() => server.dispose());
  const provision = (...args: string[]) =>
    fanwire(["nats", "provision", "--broker", server.url, "--nats.partitions", "2", ...args]);
  const dry = await provision("--dry-run", "--namespaces", MARKET);
  assert.equal(dry.code, 0, dry.stderr);
  assert.match(dry.stdout, /^nats-server \d+\.\d+\.\d+, 1 replica\n/);
  assert.match(dry.stdout, /create FW_CTL, FW_0, FW_1, FW_KEY_0, FW_KEY_1, 1 replica\n/);
  assert.doesNotMatch(dry.stdout, /done/);
  const done = await provision("--namespaces", MARKET);
  assert.deepEqual([done.code, done.stdout.endsWith("done\n")], [0, true], done.stderr);
  assert.match((await provision("--namespaces", MARKET)).stdout, /nothing to do\n/);
  // A namespace that stops to keep state moves its rooms to other streams.
  const moved = await provision();
  assert.equal(moved.code, 1);
  assert.match(moved.stderr, /^fanwire nats: bad_request: data would be lost, which only --force does/);
  assert.equal((await provision("--force")).code, 0);
});

test("what is wrong with the command is said, with what is right", async () => {
  const cases: [args: string[], code: number, stderr: RegExp][] = [
    [["nats"], 2, /an action is missing; there is provision/],
    [["nats", "purge"], 2, /"purge" is no action/],
    [["nats", "provision"], 2, /broker is "memory": name the servers/],
    [
      ["nats", "provision", "--broker", "http://a"],
      2,
      /broker = "http:\/\/a" \(flag --broker\): allowed is memory, or servers/,
    ],
    [
      ["nats", "provision", "--broker", "nats://a", "--nats.user", "u"],
      2,
      /allowed is user and password, or neither/,
    ],
  ];
  for (const [args, code, expected] of cases) {
    const outcome = await fanwire(args);
    assert.equal(outcome.code, code, outcome.stderr);
    assert.match(outcome.stderr, expected);
  }
});
