import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { flagsAs } from "../broker/nats/nats-accounts.testkit.js";
import { NatsAdmin } from "../broker/nats/nats-admin.testkit.js";
import { NatsServer } from "../broker/nats/nats-server.testkit.js";
import { Subjects } from "../broker/nats/subjects.js";
import { fanwire } from "./cli.testkit.js";

const MAIN = fileURLToPath(new URL("./main.js", import.meta.url));
/** Of two. */
const PARTITION_OF_A = new Subjects("fw", 2).partitionOf("news~a");
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

test("nats purge shows what rooms have, purges it as the user for that, and says so", async (t) => {
  const server = await NatsServer.start();
  t.after(() => server.dispose());
  const flags = [...flagsAs("provisioner", server.url), "--nats.partitions", "2"];
  const purge = (...args: string[]) => fanwire(["nats", "purge", ...args, ...flags]);
  const early = await purge("news.a");
  assert.deepEqual(
    [early.code, /nothing is provisioned in NATS/.test(early.stderr)],
    [1, true],
    early.stderr,
  );
  await fanwire(["nats", "provision", ...flags]);
  const admin = await NatsAdmin.connect(server.url);
  t.after(() => admin.close());
  for (const value of ["1", "2", "3"]) await admin.publish(`fw.in.${PARTITION_OF_A}.news~a`, value);
  const dry = await purge("news.a", "news.none", "--dry-run");
  assert.equal(dry.code, 0, dry.stderr);
  assert.match(
    dry.stdout,
    /^news\.a: 3 messages in FW_\d, up to offset 3\nnews\.none: nothing stored in FW_\d\n$/,
  );
  const done = await purge("news.a", "news.none");
  assert.equal(done.code, 0, done.stderr);
  assert.match(done.stdout, /news\.a: 3 messages purged; who is there was told/);
  const again = await purge("news.a");
  assert.deepEqual([again.code, again.stdout.endsWith("nothing to purge\n")], [0, true], again.stderr);
  const refused = await fanwire([
    "nats",
    "purge",
    "news.a",
    ...flagsAs("engine", server.url),
    ...flags.slice(-2),
  ]);
  assert.equal(refused.code, 0, "there is nothing that it would need a right for");
  await admin.publish(`fw.in.${PARTITION_OF_A}.news~a`, "4");
  const denied = await fanwire([
    "nats",
    "purge",
    "news.a",
    ...flagsAs("engine", server.url),
    ...flags.slice(-2),
  ]);
  assert.equal(denied.code, 1);
  assert.match(denied.stderr, /STREAM\.PURGE/);
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
    [["nats"], 2, /an action is missing; there are provision and purge/],
    [["nats", "erase"], 2, /"erase" is no action/],
    [["nats", "purge"], 2, /a room is missing/],
    [["nats", "purge", "--dry-run", "--broker", "nats://a"], 2, /a room is missing/],
    [["nats", "purge", "a.*", "--broker", "nats://a"], 2, /room/],
    [["nats", "purge", "a.b"], 2, /broker is "memory": name the servers/],
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
