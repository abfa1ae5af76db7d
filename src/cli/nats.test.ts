import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { flagsAs } from "../broker/nats/nats-accounts.testkit.js";
import { NatsServer } from "../broker/nats/nats-server.testkit.js";
import { fanwire } from "./cli.testkit.js";

const MAIN = fileURLToPath(new URL("./main.js", import.meta.url));
const MARKET = JSON.stringify({ market: { state: true } });

test("nats provision shows its plan, does it, and says what would lose data", async (t) => {
  const server = await NatsServer.start();
  t.after(() => server.dispose());
  const provision = (...args: string[]) =>
    fanwire(["nats", "provision", "--broker", server.url, "--nats.partitions", "2", ...args]);
  const dry = await provision("--dry-run", "--namespaces", MARKET);
  assert.equal(dry.code, 0, dry.stderr);
  assert.match(dry.stdout, /^nats-server \d+\.\d+\.\d+, 1 replica\n/);
  assert.match(dry.stdout, /create FW_CTL, FW_0, FW_1, FW_KEY_0, FW_KEY_1, FW_REVOKED, 1 replica\n/);
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

test("who may make streams does it, and who may not is told so", async (t) => {
  const server = await NatsServer.start();
  t.after(() => server.dispose());
  const as = (user: "provisioner" | "engine", ...args: string[]) =>
    fanwire(["nats", "provision", ...flagsAs(user, server.url), "--nats.partitions", "2", ...args]);
  const refused = await as("engine");
  assert.equal(refused.code, 1);
  assert.match(
    refused.stderr,
    /^fanwire nats: forbidden: NATS does not let this user publish to "\$JS\.API\.INFO"/,
  );
  const dry = await as("provisioner", "--dry-run");
  assert.match(dry.stdout, /create FW_CTL, FW_0, FW_1, FW_REVOKED, 1 replica\n/);
  assert.match((await as("provisioner")).stdout, /done\n$/);
  assert.match((await as("provisioner")).stdout, /nothing to do\n/);
});

test("an interrupt ends it, although the server says nothing", async (t) => {
  const mute = createServer();
  mute.listen(0, "127.0.0.1");
  await once(mute, "listening");
  t.after(() => mute.close());
  const address = mute.address();
  assert.ok(address !== null && typeof address === "object");
  const args = [MAIN, "nats", "provision", "--broker", `nats://127.0.0.1:${address.port}`];
  const running = spawn(process.execPath, args, { stdio: "ignore" });
  t.after(() => running.kill("SIGKILL"));
  mute.once("connection", () => running.kill("SIGTERM"));
  const [code] = await once(running, "exit");
  assert.equal(code, 1);
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
