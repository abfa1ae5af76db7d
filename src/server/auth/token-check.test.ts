import assert from "node:assert/strict";
import { createSecretKey } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { jwtVerify, SignJWT } from "jose";
import { CodedError } from "../../protocol/errors.js";
import { checkToken, fixedKeys, type TokenRules } from "./token-check.js";
import { claimsOf, hmac, nowSeconds, rawToken, SECRET, signingKey, tokenOf } from "./tokens.testkit.js";
import { keysOfSet, keysOfText, secretKey, type VerifyKey } from "./verify-key.js";

const RULES: TokenRules = {
  issuer: "",
  audience: "",
  toleranceSeconds: 5,
  maxTokenSeconds: 86_400,
  tokenBytes: 4_096,
};

function verdict(token: string, keys: readonly VerifyKey[], rules = RULES): string {
  try {
    return checkToken(token, fixedKeys(keys), rules, nowSeconds()).sub;
  } catch (cause) {
    assert.ok(cause instanceof CodedError, String(cause));
    return cause.code;
  }
}

for (const alg of ["RS256", "ES256", "EdDSA"] as const) {
  const key = signingKey(alg, "k1");
  const pem = String(key.publicKey.export({ type: "spki", format: "pem" }));

  test(`${alg}: a token is taken with its key as PEM, JWK and JWKS, and with no other`, async () => {
    const token = await key.sign();
    for (const keys of [
      keysOfText(pem),
      keysOfText(JSON.stringify(key.jwk())),
      keysOfText(JSON.stringify({ keys: [signingKey(alg, "k0").jwk(), key.jwk()] })),
    ])
      assert.equal(verdict(token, keys), "ada");
    assert.equal(verdict(token, keysOfText(JSON.stringify(signingKey(alg, "k1").jwk()))), "unauthenticated");
    assert.equal(verdict(token, [secretKey(SECRET)]), "unauthenticated");
  });

  test(`${alg}: the public key is no secret that a token could be signed with`, () => {
    for (const secret of [pem, pem.trim(), key.publicKey.export({ type: "spki", format: "der" })])
      for (const header of [{ alg: "HS256" }, { alg: "HS256", kid: "k1" }, { alg }, { alg, kid: "k1" }])
        assert.equal(verdict(rawToken(header, claimsOf(), hmac(secret)), keysOfText(pem)), "unauthenticated");
  });
}

test("keys that are weak, secret or of another kind are refused when they are read", () => {
  const key = signingKey("RS256", "k1").jwk();
  for (const wrong of [
    { kty: "oct", k: "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0" },
    { ...key, use: "enc" },
    { ...key, alg: "PS256" },
    { ...key, alg: "HS256" },
    { kty: "RSA" },
    "text",
  ])
    assert.throws(() => keysOfText(JSON.stringify(wrong)), Error, JSON.stringify(wrong));
  assert.throws(() => keysOfSet({ keys: [] }), /empty/);
  assert.throws(() => keysOfSet({ keys: Array.from({ length: 65 }, () => key) }), /at most 64/);
  assert.equal(keysOfSet({ keys: [{ kty: "oct", k: "AA" }, key] }).length, 1);
});

test("jose agrees about every token, sound or damaged", async () => {
  const secret = createSecretKey(Buffer.from(SECRET));
  const now = nowSeconds();
  const good = await tokenOf();
  const time = fc.oneof(
    fc.integer({ min: now - 20, max: now + 20 }),
    fc.constantFrom(undefined, null, "1", -1, 0, 1e15, 1.5),
  );
  const claims = fc.record(
    {
      sub: fc.constantFrom("ada", "eve"),
      exp: time,
      nbf: time,
      iss: fc.constantFrom("us", "them", 7, undefined),
      aud: fc.constantFrom("feeds", ["mail", "feeds"], "mail", [], {}, undefined),
    },
    { requiredKeys: ["sub"] },
  );
  const header = fc.constantFrom(
    { alg: "HS256" },
    { alg: "HS256", typ: "JWT" },
    { alg: "none" },
    { alg: "HS512" },
    { alg: "HS256", crit: ["exp"], exp: 1 },
    {},
  );
  const made = fc.tuple(header, claims).map(([head, body]) => rawToken(head, body, hmac(SECRET)));
  const damaged = fc
    .tuple(fc.nat(good.length - 1), fc.constantFrom(..."Aa0_-.=+/ é"))
    .map(([at, char]) => good.slice(0, at) + char + good.slice(at + 1));
  const rules = { ...RULES, issuer: "us", audience: "feeds" };
  const options = { algorithms: ["HS256"], requiredClaims: ["sub", "exp"], clockTolerance: 5 };
  const compare = async (token: string, ours: TokenRules, theirs: object): Promise<void> => {
    const expected = await jwtVerify(token, secret, { ...theirs, currentDate: new Date(now * 1_000) }).then(
      ({ payload }) => payload.sub,
      () => "unauthenticated",
    );
    let actual: string;
    try {
      actual = checkToken(token, fixedKeys([secretKey(SECRET)]), ours, now).sub;
    } catch (cause) {
      assert.ok(cause instanceof CodedError, String(cause));
      actual = cause.code;
    }
    // What is ours alone: how long a token may live, and one spelling of its text.
    if (actual === "unauthenticated" && expected !== actual) {
      const { exp = 0 } = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
      assert.ok(exp > now + 86_400 || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token), token);
    } else assert.equal(actual, expected, token);
  };
  await fc.assert(
    fc.asyncProperty(made, (token) => compare(token, rules, { ...options, issuer: "us", audience: "feeds" })),
    { numRuns: 1_500 },
  );
  await fc.assert(
    fc.asyncProperty(damaged, (token) => compare(token, RULES, options)),
    { numRuns: 1_000 },
  );
});

test("no text whatsoever is a fault of ours", () => {
  const part = fc.oneof(
    fc.string(),
    fc.json().map((text) => Buffer.from(text).toString("base64url")),
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 4 }), (parts) => {
      assert.equal(verdict(parts.join("."), [secretKey(SECRET)]), "unauthenticated");
    }),
    { numRuns: 2_000 },
  );
});

test("rights come from the claim, and a claim that is none refuses the token", async () => {
  const key = [secretKey(SECRET)];
  const rooms = [["chat.*", "sp"]];
  const token = await tokenOf({ rooms, jti: "t1" });
  const claims = checkToken(token, fixedKeys(key), RULES, nowSeconds());
  assert.deepEqual(claims.grants, [{ pattern: "chat.*", rights: "sp" }]);
  assert.equal(claims.jti, "t1");
  for (const wrong of [[["chat.*"]], [["chat.*", "spx"]], {}, "chat", [[">", "s"], null]])
    assert.equal(verdict(await tokenOf({ rooms: wrong }), key), "unauthenticated", JSON.stringify(wrong));
  const withoutRooms = await new SignJWT({ sub: "ada", exp: nowSeconds() + 60 })
    .setProtectedHeader({ alg: "HS256" })
    .sign(Buffer.from(SECRET));
  assert.equal(verdict(withoutRooms, key), "ada");
});
