import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fanwire } from "./cli.testkit.js";

const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");

test("README has the table of keys as the schema makes it", async () => {
  const { stdout } = await fanwire(["config", "--markdown"]);
  const [, table] = /<!-- config table -->\n([\s\S]*?)<!-- \/config table -->/.exec(readme) ?? [];
  assert.equal(table, stdout, "run: npx fanwire config --markdown");
});

test("every script that README names is there", () => {
  const scripts: { scripts: object } = JSON.parse(
    readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
  );
  const named = [...readme.matchAll(/npm run ([a-z-]+)/g)].map(([, name]) => name ?? "");
  assert.ok(named.length > 0);
  for (const name of named) assert.ok(Object.hasOwn(scripts.scripts, name), name);
  for (const [path] of readme.matchAll(/\.\/scripts\/[a-z-]+\.sh/g)) {
    assert.ok(readFileSync(new URL(`../../${path}`, import.meta.url)).length > 0);
  }
});

test("the build makes the command executable, with its arguments for node", () => {
  const bin: { bin: { fanwire: string } } = JSON.parse(
    readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
  );
  const { stdout, status } = spawnSync(new URL(`../../${bin.bin.fanwire}`, import.meta.url).pathname, [
    "--version",
  ]);
  assert.deepEqual([status, /^\d+\.\d+\.\d+/.test(String(stdout))], [0, true]);
});
