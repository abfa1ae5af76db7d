import assert from "node:assert/strict";
import { test } from "node:test";
import { Program } from "../feed/program.testkit.js";

const TEST_MS = 60_000;

test("start runs server and feed, says where, and a signal ends both with code 0", {
  timeout: TEST_MS,
}, async (t) => {
  const start = new Program("scripts/start.mjs", [], { FANWIRE_PORT: "0" });
  t.after(() => start.end());
  const [, url] = await start.says(/fanwire is running: (http:\S+)\//);
  await start.says(/market\.fx: 500 quotes a second/);
  assert.equal((await fetch(`${url}/healthz`)).status, 200);
  assert.equal(await start.end("SIGINT"), 0);
  await assert.rejects(fetch(`${url}/healthz`));
});

test("a server that cannot start ends it with the server's code", { timeout: TEST_MS }, async (t) => {
  const start = new Program("scripts/start.mjs", [], { FANWIRE_PORT: "not-a-port" });
  t.after(() => start.end());
  await start.says(/cli\/main\.js ended with code 2/);
  assert.equal(await start.ended(), 2);
});

test("a feed that is refused ends it too", { timeout: TEST_MS }, async (t) => {
  const start = new Program("scripts/start.mjs", ["--api-key", "wrong"], {
    FANWIRE_PORT: "0",
    FANWIRE_API_KEY: "the-key-that-is-right",
  });
  t.after(() => start.end());
  await start.says(/feed\/main\.js ended with code 1/);
  assert.equal(await start.ended(), 1);
});
