import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { after, test } from "node:test";
import { type Program, startFeed, startRestartableServer, startServer } from "./program.testkit.js";

const TEST_MS = 60_000;
const KEY = "a-key-of-the-feed-test";

const programs: Program[] = [];
after(async () => {
  for (const program of programs) await program.end("SIGKILL");
});

function own(program: Program): Program {
  programs.push(program);
  return program;
}

async function until(what: string, isTrue: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await isTrue())) {
    assert.ok(Date.now() < deadline, `not reached: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function stateOf(
  url: string,
  room: string,
): Promise<{ epoch: string; offset: number; keys: string[] }> {
  const response = await fetch(`${url}/v1/rooms/${room}/state`);
  const { epoch, offset, messages } = Object(await response.json());
  return { epoch, offset, keys: messages.map((message: unknown[]) => message[3]) };
}

test("it publishes every room, and SIGTERM ends it cleanly", { timeout: TEST_MS }, async () => {
  const server = await startServer();
  own(server.program);
  const feed = own(startFeed(server.url));
  await until("253 pairs", async () => (await stateOf(server.url, "market.fx")).keys.length === 253);
  for (const name of ["cpu", "memory", "network", "disk"]) {
    await until(`host.${name}`, async () => (await stateOf(server.url, `host.${name}`)).offset > 5);
  }
  const before = { offset: (await stateOf(server.url, "market.fx")).offset, ms: performance.now() };
  await until("two seconds", () => performance.now() - before.ms > 2_000);
  const { offset } = await stateOf(server.url, "market.fx");
  const perSecond = ((offset - before.offset) / (performance.now() - before.ms)) * 1_000;
  assert.ok(perSecond > 400 && perSecond < 600, `${perSecond} quotes a second`);
  assert.equal(await feed.end("SIGTERM"), 0);
});

test("it waits for a server, and goes on with another one in the same place", {
  timeout: TEST_MS,
}, async () => {
  const first = await startRestartableServer();
  own(first.program);
  const feed = own(startFeed(first.url, ["--only", "market"]));
  await until("flow", async () => (await stateOf(first.url, "market.fx")).offset > 100);
  const { epoch } = await stateOf(first.url, "market.fx");
  await first.program.end("SIGKILL");
  await feed.says(/cannot publish to .*; trying again until it works/);
  const second = await startServer(Number(new URL(first.url).port));
  own(second.program);
  await feed.says(/publishing again after/);
  await until("flow", async () => (await stateOf(second.url, "market.fx")).offset > 100);
  assert.notEqual((await stateOf(second.url, "market.fx")).epoch, epoch);
  assert.equal(await feed.end("SIGINT"), 0);
});

test("without the key that the server wants it says so and ends with 1; with it, it publishes", {
  timeout: TEST_MS,
}, async () => {
  const server = await startServer(0, { FANWIRE_API_KEY: KEY });
  own(server.program);
  const refused = own(startFeed(server.url));
  await refused.says(/the server refuses: unauthenticated/);
  await until("ended", () => refused.child.exitCode !== null);
  assert.equal(refused.child.exitCode, 1);
  own(startFeed(server.url, ["--api-key", KEY, "--symbols", "EURUSD", "--only", "market"]));
  await until("flow", async () => (await stateOf(server.url, "market.fx")).offset > 10);
  assert.deepEqual((await stateOf(server.url, "market.fx")).keys, ["EURUSD"]);
});

test("it ends when the process that started it is gone", { timeout: TEST_MS }, async () => {
  const main = new URL("./main.js", import.meta.url).pathname;
  const script = `
    const child = require("node:child_process").spawn(process.execPath, [${JSON.stringify(main)}, "--only", "host"]);
    console.log(child.pid);
    setInterval(() => {}, 1000);`;
  const parent = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(parent.stdout, "data");
  const pid = Number(String(line));
  parent.kill("SIGKILL");
  await until("gone", () => !isAlive(pid));
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
