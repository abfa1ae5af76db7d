import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { statSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { flagsAs } from "../broker/nats/nats-accounts.testkit.js";
import { NatsServer } from "../broker/nats/nats-server.testkit.js";
import { knock, nowSeconds, SECRET, tokenOf } from "../server/auth/tokens.testkit.js";
import { WireClient } from "../server/wire-client.testkit.js";
import { TestNode } from "./node.testkit.js";

const MAIN = fileURLToPath(new URL("../cli/main.js", import.meta.url));
const KEY = "admin-key-0123456789";
const ENV = { FANWIRE_AUTH_SECRET: SECRET, FANWIRE_API_KEY: KEY };

function startNode(t: TestContext, ...args: string[]): Promise<TestNode> {
  return TestNode.start(t, { args, env: ENV });
}

async function revoke(node: TestNode, body: object): Promise<{ status: number; text: string }> {
  const answer = await fetch(`${node.url}/v1/revocations`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${KEY}` },
    body: JSON.stringify(body),
  });
  return { status: answer.status, text: await answer.text() };
}

async function open(node: TestNode, token: string): Promise<WireClient> {
  return WireClient.open(node.port, { headers: { Authorization: `Bearer ${token}` } });
}

async function statusOf(node: TestNode, token: string): Promise<number> {
  return (await knock(node.port, token)).status;
}

async function stop(...nodes: TestNode[]): Promise<void> {
  for (const node of nodes) node.signal("SIGINT");
  for (const node of nodes) assert.equal((await node.ended()).code, 0);
}

test("a revocation at one node holds at all nodes of a NATS, those that start later too, and over a restart of everything", async (t) => {
  const server = await NatsServer.start();
  t.after(() => server.dispose());
  const partitions = ["--nats.partitions", "2"];
  const provisioning = [MAIN, "nats", "provision", ...flagsAs("provisioner", server.url), ...partitions];
  await promisify(execFile)(process.execPath, provisioning);
  const args = [...flagsAs("engine", server.url), ...partitions, "--drain-seconds", "0"];
  // One with a hub between its workers and NATS, one whose worker hosts the broker itself.
  const [one, two] = await Promise.all([
    startNode(t, "--workers", "2", ...args),
    startNode(t, "--workers", "1", "--hubs", "0", ...args),
  ]);
  const iat = nowSeconds() - 10;
  const eve = await tokenOf({ sub: "eve", iat });
  const mallory = await tokenOf({ sub: "mallory", jti: "m1", iat });
  const ada = await tokenOf({ sub: "ada", iat });
  const eves = await Promise.all([one, one, one, two].map((node) => open(node, eve)));
  const mallories = await Promise.all([one, one, one, two].map((node) => open(node, mallory)));
  const honest = await Promise.all([open(one, ada), open(two, ada)]);
  assert.equal((await revoke(one, { sub: "eve" })).status, 200);
  for (const { ws } of eves) assert.equal((await ws.closed).code, 4401);
  assert.equal((await revoke(two, { jti: "m1" })).status, 200);
  for (const { ws } of mallories) assert.equal((await ws.closed).code, 4401);
  const three = await startNode(t, "--workers", "2", ...args);
  for (const node of [one, two, three])
    assert.deepEqual(
      [await statusOf(node, eve), await statusOf(node, mallory), await statusOf(node, ada)],
      [401, 401, 101],
      node.url,
    );
  for (const client of honest) await client.subscribe("chat.a");
  // Whoever revokes is told where the others may not know.
  await server.kill();
  await one.until("away", ({ ready }) => !ready);
  const away = await Promise.all([revoke(one, { sub: "zoe" }), revoke(two, { sub: "zoe" })]);
  for (const { status, text } of away) {
    assert.equal(status, 503, text);
    assert.match(text, /"unavailable"/);
  }
  assert.equal(await statusOf(one, await tokenOf({ sub: "zoe", iat })), 401, "it holds here");
  await stop(one, two, three);
  await server.restart();
  const [again, other] = await Promise.all([
    startNode(t, "--workers", "2", ...args),
    startNode(t, "--workers", "1", "--hubs", "0", ...args),
  ]);
  for (const node of [again, other])
    assert.deepEqual([await statusOf(node, eve), await statusOf(node, mallory)], [401, 401]);
});

test("with the embedded broker a file keeps revocations over a restart of everything", async (t) => {
  const file = join(TestNode.folderFor(t), "revoked");
  const args = ["--auth.revocations-file", file, "--drain-seconds", "0"];
  const before = await startNode(t, "--workers", "2", ...args);
  const eve = await tokenOf({ sub: "eve", iat: nowSeconds() - 10 });
  assert.equal(await statusOf(before, eve), 101);
  assert.equal((await revoke(before, { sub: "eve" })).status, 200);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  await stop(before);
  const after = await startNode(t, "--workers", "2", ...args);
  assert.equal(await statusOf(after, eve), 401);
  assert.equal(await statusOf(after, await tokenOf({ sub: "ada" })), 101);
});
