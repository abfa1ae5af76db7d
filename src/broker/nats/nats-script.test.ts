import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { ACCOUNT_PASSWORDS, ACCOUNTS_FILE } from "./nats-accounts.testkit.js";
import { NatsAdmin } from "./nats-admin.testkit.js";
import { freePorts, greets, NatsServer, until } from "./nats-server.testkit.js";

const SCRIPT = fileURLToPath(new URL("../../../scripts/nats.sh", import.meta.url));

describe("scripts/nats.sh", () => {
  test("starts, says what runs, and stops one server", async (t) => {
    const run = await shell(t);
    const [port = 0] = await freePorts(1);
    assert.match((await run("status")).text, /nothing runs/);
    assert.match(
      (await run("start", String(port))).text,
      new RegExp(`FANWIRE_BROKER=nats://127.0.0.1:${port}$`),
    );
    assert.match((await run("start", String(port))).text, /runs already/);
    const { text, code } = await run("status");
    assert.equal(code, 0);
    assert.match(text, / pid \d+ /);
    const admin = await NatsAdmin.connect(`nats://127.0.0.1:${port}`);
    await admin.api("INFO");
    await admin.close();
    assert.match((await run("cluster", String(port))).text, /"nats.sh stop" first/);
    assert.match((await run("stop")).text, /stopped 1/);
    assert.equal(await greets(port), false);
    assert.equal((await run("status")).code, 1);
    assert.match((await run("stop")).text, /nothing ran/);
  });

  test("starts and stops three servers whose streams can have three replicas", async (t) => {
    const run = await shell(t);
    const port = await freeBase();
    const { text } = await run("cluster", String(port));
    const urls = [0, 1, 2].map((index) => `nats://127.0.0.1:${port + index}`);
    assert.ok(text.endsWith(`FANWIRE_BROKER=${urls.join(",")}`), text);
    assert.match((await run("cluster", String(port))).text, /runs already/);
    const admin = await NatsAdmin.connect(urls);
    await admin.insist("STREAM.CREATE.S", { name: "S", subjects: ["s"], num_replicas: 3 });
    await admin.close();
    assert.match((await run("stop")).text, /stopped 3/);
    for (let index = 0; index < 3; index += 1) assert.equal(await greets(port + index), false);
  });

  test("says what it does and refuses what is no command, no port, no binary and no configuration", async (t) => {
    const run = await shell(t);
    const help = await run("--help");
    assert.equal(help.code, 0);
    for (const word of ["start", "cluster", "status", "stop", "FANWIRE_NATS_DIR"])
      assert.ok(help.text.includes(word), word);
    const typo = await run("strat");
    assert.deepEqual([typo.code, typo.text], [2, help.text]);
    assert.match((await run("start", "70000")).text, /is no port/);
    const noBinary = await shell(t, { FANWIRE_NATS_SERVER: "/nowhere/nats-server" });
    assert.match((await noBinary("start")).text, /FANWIRE_NATS_SERVER: \/nowhere\/nats-server cannot be run/);
    const noConfig = await shell(t, { FANWIRE_NATS_CONFIG: "/nowhere.conf" });
    assert.match((await noConfig("start")).text, /FANWIRE_NATS_CONFIG: \/nowhere\.conf cannot be read/);
  });

  test("a port that is taken, or a configuration that is wrong, is told at once, and nothing is left", async (t) => {
    const taken = await NatsServer.start();
    t.after(() => taken.dispose());
    const run = await shell(t);
    const { text, code } = await run("start", String(taken.port));
    assert.equal(code, 1);
    assert.match(text, /address already in use[\s\S]*n1 ended at once.*taken/);
    assert.match((await run("status")).text, /nothing runs/);
    // The file wants passwords from the environment.
    const [port = 0] = await freePorts(1);
    const accounts = await shell(t, { FANWIRE_NATS_CONFIG: ACCOUNTS_FILE });
    assert.match((await accounts("start", String(port))).text, /'NATS_ENGINE_PASSWORD'/);
    assert.equal(await greets(taken.port), true, "whoever has the port keeps it");
  });

  test("ends nothing but its own: not a server of somebody else, not who has its number by now", async (t) => {
    const other = await NatsServer.start();
    t.after(() => other.dispose());
    const run = await shell(t, ACCOUNT_PASSWORDS, { FANWIRE_NATS_CONFIG: ACCOUNTS_FILE });
    const [port = 0] = await freePorts(1);
    const { text } = await run("start", String(port));
    const [, pid, log = ""] = / pid (\d+) {2}log (\S+)$/m.exec(text) ?? [];
    process.kill(Number(pid), "SIGKILL");
    await until("the server to be gone", async () => !(await greets(port)));
    await writeFile(join(dirname(log), "pid"), String(process.pid));
    assert.match((await run("status")).text, /nothing runs/);
    assert.match((await run("stop")).text, /nothing ran/);
    assert.equal(await greets(other.port), true);
  });
});

/** A port after which two more are free, and three that are 100 above. */
async function freeBase(): Promise<number> {
  for (;;) {
    const base = 21_000 + Math.floor(Math.random() * 9_000);
    const ports = [0, 1, 2, 100, 101, 102].map((step) => base + step);
    if (!(await Promise.all(ports.map(greets))).includes(true)) return base;
  }
}

async function shell(
  t: TestContext,
  ...more: readonly NodeJS.ProcessEnv[]
): Promise<(...args: string[]) => Promise<{ text: string; code: number }>> {
  const dir = await mkdtemp(join(tmpdir(), "fanwire-nats-sh-"));
  const env: NodeJS.ProcessEnv = { ...process.env, FANWIRE_NATS_DIR: join(dir, "servers") };
  for (const variables of more) Object.assign(env, variables);
  const run = (...args: string[]): Promise<{ text: string; code: number }> =>
    new Promise((resolve) => {
      execFile(SCRIPT, args, { env }, (error, stdout, stderr) => {
        const code = error === null ? 0 : Number(error.code);
        resolve({ text: `${stdout}${stderr}`.trim(), code });
      });
    });
  t.after(async () => {
    await run("stop");
    await rm(dir, { recursive: true, force: true });
  });
  return run;
}
