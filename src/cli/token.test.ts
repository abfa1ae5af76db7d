import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiKeys } from "../server/auth/api-keys.js";
import { checkToken, fixedKeys } from "../server/auth/token-check.js";
import { secretKey } from "../server/auth/verify-key.js";
import { createConfig } from "../server/config.js";
import { fanwire } from "./cli.testkit.js";

const SECRET = "0123456789abcdef0123456789abcdef";
const env = { FANWIRE_AUTH_SECRET: SECRET, FANWIRE_AUTH_ISSUER: "us", FANWIRE_AUTH_AUDIENCE: "feeds" };

test("a minted token is taken by a server with the same configuration", async () => {
  const { code, stdout } = await fanwire(
    ["token", "--sub", "ada", "--room", "chat.>:sp", "--room", "user.{sub}:s", "--ttl", "15m"],
    { env },
  );
  assert.equal(code, 0);
  const { auth } = createConfig({ auth: { secret: SECRET, issuer: "us", audience: "feeds" } });
  const now = Date.now() / 1_000;
  const claims = checkToken(stdout.trim(), fixedKeys([secretKey(SECRET)]), auth, now);
  assert.deepEqual(claims.grants, [
    { pattern: "chat.>", rights: "sp" },
    { pattern: "user.{sub}", rights: "s" },
  ]);
  assert.equal(claims.sub, "ada");
  assert.ok(Math.abs(claims.exp - now - 900) < 60);
  assert.notEqual(claims.jti, undefined);
});

test("what cannot be minted is said", async () => {
  const cases: [args: string[], environment: Record<string, string>, code: number, text: RegExp][] = [
    [["--sub", "ada"], {}, 1, /FANWIRE_AUTH_SECRET/],
    [[], env, 2, /--sub is missing/],
    [["--sub", "ada", "--room", "chat.>"], env, 2, /PATTERN:RIGHTS/],
    [["--sub", "ada", "--room", "chat.>:x"], env, 2, /PATTERN:RIGHTS/],
    [["--sub", "ada", "--ttl", "25h"], env, 2, /up to 86400s/],
    [["--sub", "ada", "more"], env, 2, /flags only/],
  ];
  for (const [args, environment, code, text] of cases) {
    const outcome = await fanwire(["token", ...args], { env: environment });
    assert.equal(outcome.code, code, args.join(" "));
    assert.match(outcome.stderr, text);
    assert.doesNotMatch(outcome.stderr, new RegExp(SECRET));
  }
});

test("a made key is let in by its entry, and the entry does not show it", async () => {
  const { stdout, code } = await fanwire(["key", "billing"]);
  const [key = "", entry = ""] = stdout.split("\n");
  assert.equal(code, 0);
  assert.ok(!entry.includes(key));
  const config = createConfig({ apiKeys: [JSON.parse(entry)] });
  assert.equal(new ApiKeys(config.apiKeys).find(key)?.name, "billing");
  assert.equal((await fanwire(["key"])).code, 2);
  assert.equal((await fanwire(["key", "a b"])).code, 2);
});
