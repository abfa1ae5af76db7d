import assert from "node:assert/strict";
import { test } from "node:test";
import { CODE } from "../../protocol/frames.js";
import { startTestServer } from "../bystander.testkit.js";
import { eventually } from "../gateway-rig.testkit.js";
import { WireClient } from "../wire-client.testkit.js";
import { Jwks } from "./jwks.js";
import { codeOf, KeyServer, knock, signingKey } from "./tokens.testkit.js";

const OLD = signingKey("ES256", "k1");
const NEW = signingKey("EdDSA", "k2");
const OTHER = signingKey("RS256", "k3");

/** Keys at a server, and a clock in the test's hand. */
function jwksOf(server: KeyServer, timeoutMs = 2_000) {
  const clock = { nowMs: 1_000 };
  const failures: string[] = [];
  const jwks = new Jwks({
    url: server.url,
    timeoutMs,
    refreshMs: 60_000,
    cooldownMs: 10_000,
    keepMs: 3_600_000,
    now: () => clock.nowMs,
    onFailure: (reason) => failures.push(reason),
  });
  const has = (kid: string, algorithm: "ES256" | "EdDSA" | "RS256") => jwks.find(algorithm, kid).length > 0;
  return { jwks, clock, failures, has };
}

test("keys are fetched once and kept; one that is gone is taken for the life of a token", async (t) => {
  const server = await KeyServer.start(t, [OLD]);
  const { jwks, clock, has } = jwksOf(server);
  await jwks.refresh();
  assert.deepEqual([has("k1", "ES256"), server.requests], [true, 1]);
  server.keys = [NEW];
  clock.nowMs += 60_000;
  // Stale: used meanwhile, and fetched anew behind its back.
  assert.equal(has("k1", "ES256"), true);
  await jwks.pending;
  assert.deepEqual([has("k1", "ES256"), has("k2", "EdDSA"), server.requests], [true, true, 2]);
  clock.nowMs += 3_599_999;
  assert.equal(has("k1", "ES256"), true);
  clock.nowMs += 1;
  assert.equal(has("k1", "ES256"), false);
});

test("unknown keys cause one fetch in the cooldown, however many tokens name them", async (t) => {
  const server = await KeyServer.start(t, [OLD]);
  const { jwks, clock, has } = jwksOf(server);
  await jwks.refresh();
  for (let n = 0; n < 1_000; n++) assert.equal(has(`x${n}`, "RS256"), false);
  assert.equal(jwks.pending, undefined);
  assert.equal(server.requests, 1);
  clock.nowMs += 10_000;
  for (let n = 0; n < 1_000; n++) has(`x${n}`, "RS256");
  await jwks.pending;
  for (let n = 0; n < 1_000; n++) has(`x${n}`, "RS256");
  assert.equal(server.requests, 2);
});

test("a server that fails, hangs, lies or redirects leaves the keys as they are", async (t) => {
  const server = await KeyServer.start(t, [OLD]);
  const { jwks, clock, has, failures } = jwksOf(server, 200);
  await jwks.refresh();
  for (const mode of ["fail", "garbage", "huge", "redirect", "hang"] as const) {
    server.mode = mode;
    clock.nowMs += 60_000;
    await jwks.refresh();
    assert.deepEqual([has("k1", "ES256"), jwks.failed], [true, true], mode);
  }
  assert.equal(failures.length, 5);
  server.release();
  clock.nowMs += 60_000;
  await jwks.refresh();
  assert.equal(jwks.failed, false);
});

test("a set that changes all the time does not grow without bound", async (t) => {
  const server = await KeyServer.start(t, [OLD]);
  const { jwks, clock } = jwksOf(server);
  const kids = Array.from({ length: 80 }, (_, n) => ({
    ...OTHER,
    kid: `r${n}`,
    jwk: () => ({ ...OTHER.jwk(), kid: `r${n}` }),
  }));
  for (const key of kids) {
    server.keys = [key];
    clock.nowMs += 10_000;
    await jwks.refresh();
  }
  assert.ok(kids.filter(({ kid }) => jwks.find("RS256", kid).length > 0).length <= 65);
  assert.equal(jwks.find("RS256", "r79").length, 1);
});

test("a running server follows the keys: rotated, away, hanging and back", async (t) => {
  const keys = await KeyServer.start(t, [OLD]);
  const server = await startTestServer(t, {
    auth: { jwksUrl: keys.url, jwksCooldownSeconds: 1, timeoutMs: 500 },
  });
  const status = async (token: string) => (await knock(server.port, token)).status;
  assert.equal(await status(await OLD.sign()), 101);
  assert.equal(await status(await OTHER.sign({}, { kid: "k1", alg: "RS256" })), 401);
  keys.keys = [NEW];
  // Known by a fetch that the first of them causes; who came with it is told to come back, and is not held.
  await eventually(() => keys.requests > 0, "the first fetch");
  const renewed = await NEW.sign();
  let last = 0;
  await (async () => {
    for (let n = 0; n < 200 && last !== 101; n++) {
      const answer = await knock(server.port, renewed);
      last = answer.status;
      if (last !== 101)
        assert.ok(["unavailable", "unauthenticated"].includes(codeOf(answer)), codeOf(answer));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();
  assert.equal(last, 101);
  assert.equal(await status(await OLD.sign()), 101);
  // Away: what is known goes on, on open connections too.
  await keys.stop();
  const client = await WireClient.open(server.port, {
    headers: { Authorization: `Bearer ${await OLD.sign()}` },
  });
  assert.equal((await client.request(CODE.authenticate, await NEW.sign()))[0], CODE.ok);
  const before = keys.requests;
  const storm = await Promise.all(
    Array.from({ length: 100 }, async (_, n) =>
      knock(server.port, await OTHER.sign({}, { kid: `storm${n}` })),
    ),
  );
  for (const answer of storm) assert.ok([401, 503].includes(answer.status), String(answer.status));
  assert.ok(keys.requests - before <= 1);
  assert.equal(server.gatewayCounters.faults, 0);
});

test("a server starts while its keys are away, and says so to who comes", async (t) => {
  const keys = await KeyServer.start(t, [OLD]);
  await keys.stop();
  const server = await startTestServer(t, {
    auth: { jwksUrl: keys.url, jwksCooldownSeconds: 1, timeoutMs: 500 },
  });
  const answer = await knock(server.port, await OLD.sign());
  assert.deepEqual([answer.status, codeOf(answer)], [503, "unavailable"]);
  assert.ok(answer.headers.has("retry-after"));
  await keys.listen();
  const token = await OLD.sign();
  let status = 0;
  for (let n = 0; n < 400 && status !== 101; n++) {
    status = (await knock(server.port, token)).status;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.equal(status, 101);
});
