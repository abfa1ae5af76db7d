import assert from "node:assert/strict";
import { test } from "node:test";
import { knock, nowSeconds, SECRET, tokenOf } from "../server/auth/tokens.testkit.js";
import { WireClient } from "../server/wire-client.testkit.js";
import { TestNode } from "./node.testkit.js";

const KEY = "admin-key-0123456789";

test("a revocation reaches every worker, and those that replace them", async (t) => {
  const node = await TestNode.start(t, {
    args: ["--workers", "3"],
    env: { FANWIRE_AUTH_SECRET: SECRET, FANWIRE_API_KEY: KEY },
  });
  const token = await tokenOf({ sub: "eve", iat: nowSeconds() - 10 });
  const headers = { Authorization: `Bearer ${token}` };
  const clients: WireClient[] = [];
  for (let n = 0; n < 24; n++) clients.push(await WireClient.open(node.port, { headers }));
  const revoked = await fetch(`${node.url}/v1/revocations`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${KEY}` },
    body: JSON.stringify({ sub: "eve" }),
  });
  assert.equal(revoked.status, 200);
  const codes = await Promise.all(clients.map(async ({ ws }) => (await ws.closed).code));
  assert.deepEqual([...new Set(codes)], [4401]);
  const statuses = async () =>
    Promise.all(Array.from({ length: 24 }, async () => (await knock(node.port, token)).status));
  assert.deepEqual([...new Set(await statuses())], [401]);
  const before = await node.workerPids();
  node.process.kill("SIGHUP");
  await node.until(
    "replaced",
    ({ workers, state }) =>
      state === "running" && workers.every(({ pid }) => pid !== undefined && !before.includes(pid)),
  );
  assert.deepEqual([...new Set(await statuses())], [401]);
  // One that crashes, too.
  process.kill((await node.workerPids())[0] ?? 0, "SIGKILL");
  await node.until(
    "crashed and back",
    ({ workers, ready }) => ready && workers.some(({ crashes }) => crashes > 0),
  );
  assert.deepEqual([...new Set(await statuses())], [401]);
  assert.equal((await knock(node.port, await tokenOf({ sub: "ada" }))).status, 101);
});
