import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { PEERS } from "./catalog.js";
import { install, PEERS_FOLDER } from "./install.js";

test("what cannot be installed is told, and leaves nothing half done", { timeout: 60_000 }, async (t) => {
  const cache = mkdtempSync(join(tmpdir(), "fanwire-peers-"));
  t.after(() => rmSync(cache, { recursive: true }));
  const need = { kind: "npm", packages: ["not-in-package-json-of-peers"] } as const;
  // Without a version npm would take any; the project pins all.
  await assert.rejects(install("nobody", need, cache), /not-in-package-json-of-peers is not in/);
  assert.deepEqual(readdirSync(cache), []);
});

test("who needs nothing runs from the project", async () => {
  assert.equal(await install("uws", { kind: "none" }, "/nowhere"), PEERS_FOLDER);
});

test("every package that a peer wants has its version pinned", async () => {
  for (const { name, need } of PEERS)
    if (need.kind === "npm")
      assert.ok(
        need.packages.every((wanted) => isPinned(wanted)),
        name,
      );
});

function isPinned(name: string): boolean {
  const pinned = PACKAGE.dependencies[name];
  return pinned !== undefined && /^(npm:\S+@)?\d+\.\d+\.\d+$/.test(pinned);
}

const PACKAGE = JSON.parse(readFileSync(join(PEERS_FOLDER, "package.json"), "utf8")) as {
  dependencies: Record<string, string>;
};
