import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { TestNode } from "../supervisor/node.testkit.js";

const PYTHON = "/usr/bin/python3";
const PROGRAM = fileURLToPath(new URL("../../src/hostile/foreign-client.py", import.meta.url));

const EXPECTED: Readonly<Record<string, unknown>> = {
  subprotocols: ["fanwire.v1.json", "fanwire.v1", true, null, 400],
  compression_is_declined: [],
  fragments: "grüß Gott",
  large: [15_000, "too_large", 3],
  cut: true,
  close_handshake: [1000, [4400, true]],
  utf8: [[true, true, true, true], true],
  pings: true,
};

/** Debian's python3-websockets, which scripts/test.sh installs. */
test("a WebSocket client that others wrote: fragments, close handshakes, UTF-8, limits", {
  timeout: 180_000,
}, async (t) => {
  const env = { FANWIRE_LIMITS_HANDSHAKE_LAG_MS: "60000" };
  const node = await TestNode.start(t, { args: ["--workers", "1", "--demo"], env });
  const { stdout, stderr } = await promisify(execFile)(PYTHON, [PROGRAM, `ws://127.0.0.1:${node.port}/ws`], {
    timeout: 120_000,
  });
  const found = stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line): { check: string; found: unknown } => JSON.parse(line));
  assert.deepEqual(
    Object.fromEntries(found.map(({ check, found: what }) => [check, what])),
    EXPECTED,
    stderr,
  );
  const { workers } = await node.status();
  assert.equal(workers[0]?.report?.counters.gateway.faults ?? 0, 0);
});
