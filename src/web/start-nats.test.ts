import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { greets } from "../broker/nats/nats-server.testkit.js";
import { Program } from "../feed/program.testkit.js";
import { numberOf, startBrowser, textOf, until, visit } from "./demo.testkit.js";

const TEST_MS = 120_000;
const MARKET_OFFSET = '[data-room="market.fx"] td:nth-child(2)';

test("two nodes on one NATS: what the feed publishes through one is on the page of the other, and Ctrl-C leaves nothing", {
  timeout: TEST_MS,
}, async (t) => {
  const { start, a, b, natsPort, temp } = await startTwo(t);
  const browser = await startBrowser();
  t.after(() => browser.close());
  const { page, problems } = await visit(await browser.newContext(), `${b}/`);
  await until("two nodes are named", async () => (await page.locator("#nodes .node").count()) === 2);
  assert.equal(await textOf(page, "#nodes [aria-current]"), "node-b");
  assert.equal(await textOf(page, "#nodes small"), "feed");
  assert.equal(await page.locator('#nodes a:has-text("node-a") small').count(), 1);
  await until("253 rows", async () => (await page.locator("#board-rows tr").count()) === 253);
  const before = await numberOf(page, MARKET_OFFSET);
  await until("the market goes on", async () => (await numberOf(page, MARKET_OFFSET)) > before + 500);
  await page.click('#nodes a:has-text("node-a")');
  await until("the other page", async () => page.url() === `${a}/`);
  await until("it says so", async () => (await textOf(page, "#nodes [aria-current]")).startsWith("node-a"));
  await until(
    "and leads back",
    async () => (await page.locator('#nodes a:has-text("node-b")').count()) === 1,
  );
  await until("the same room goes on", async () => (await numberOf(page, MARKET_OFFSET)) > before + 500);
  assert.equal(await textOf(page, "#vital-missing"), "0");
  assert.deepEqual(problems, []);
  const pids = descendants(start.child.pid ?? 0);
  assert.ok(pids.length >= 3, "two nodes and the feed at least");
  assert.equal(await start.end("SIGINT"), 0);
  for (const url of [a, b]) await assert.rejects(fetch(`${url}/healthz`));
  assert.equal(await greets(natsPort), false, "the NATS server is gone");
  await until("every process is gone", async () => !pids.some((pid) => existsSync(`/proc/${pid}/exe`)));
  assert.deepEqual(readdirSync(temp), [], "nothing is left on the disk");
});

test("a node that dies takes all of it along, and its fate is the exit code", {
  timeout: TEST_MS,
}, async (t) => {
  const { start, natsPort } = await startTwo(t);
  const node = children(start.child.pid ?? 0).find((pid) => commandOf(pid).includes("node-b"));
  process.kill(node ?? 0, "SIGKILL");
  assert.equal(await start.ended(), 137);
  await start.says(/start: node-b ended with SIGKILL/, true);
  assert.equal(await greets(natsPort), false);
});

test("Ctrl-C while it starts leaves nothing either", { timeout: TEST_MS }, async (t) => {
  for (const moment of ["server", "provisioning", "nodes"]) {
    const temp = mkdtempSync(join(tmpdir(), "fanwire-start-test-"));
    const start = new Program("scripts/start.mjs", ["--nats"], { FANWIRE_PORT: "0", TMPDIR: temp });
    t.after(() => start.end("SIGKILL"));
    const { pid = 0 } = start.child;
    await start.says(/Starting NATS/);
    const isMoment = (command: string): boolean =>
      command.includes({ server: "nats.sh", provisioning: "provision", nodes: "node-b" }[moment] ?? "?");
    await until(moment, async () => children(pid).some((child) => isMoment(commandOf(child))));
    assert.equal(await start.end("SIGINT"), 0, `${moment}: ${start.lines.join("\n")}`);
    await until(
      "no server",
      async () =>
        !readdirSync("/proc").some((name) => /^\d+$/.test(name) && commandOf(Number(name)).includes(temp)),
    );
    assert.deepEqual(readdirSync(temp), [], moment);
    rmSync(temp, { recursive: true, force: true });
  }
});

test("without a server that can be run it says why and ends", { timeout: TEST_MS }, async (t) => {
  const start = new Program("scripts/start.mjs", ["--nats"], {
    FANWIRE_PORT: "0",
    FANWIRE_NATS_SERVER: "/nowhere/nats-server",
  });
  t.after(() => start.end());
  assert.equal(await start.ended(), 1);
  await start.says(/FANWIRE_NATS_SERVER: \/nowhere\/nats-server cannot be run/, true);
});

async function startTwo(t: TestContext) {
  const temp = mkdtempSync(join(tmpdir(), "fanwire-start-test-"));
  const start = new Program("scripts/start.mjs", ["--nats"], { FANWIRE_PORT: "0", TMPDIR: temp });
  t.after(async () => {
    await start.end();
    rmSync(temp, { recursive: true, force: true });
  });
  const [, natsPort] = await start.says(/two nodes of one NATS \(nats:\/\/127\.0\.0\.1:(\d+)\)/);
  const [, a = ""] = await start.says(/node-a {2}(http:\S+)\/ {2}the feed publishes here/);
  const [, b = ""] = await start.says(/node-b {2}(http:\S+)\//);
  return { start, a, b, natsPort: Number(natsPort), temp };
}

function children(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text.split(" ").filter(Boolean).map(Number);
}

function descendants(pid: number): number[] {
  return children(pid).flatMap((child) => [child, ...descendants(child)]);
}

/** "" where it has ended. */
function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}
