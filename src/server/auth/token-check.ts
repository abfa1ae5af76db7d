import { constants, createHmac, type KeyObject, timingSafeEqual, verify } from "node:crypto";
import { decodeJwt, decodeProtectedHeader, type JWTPayload } from "jose";
import { CodedError } from "../../protocol/errors.js";
import { GRANT_TEXT, GRANTS_MAX, type Grant, isGrant } from "./grant.js";
import type { Algorithm, VerifyKey } from "./verify-key.js";

/** Where keys come from. */
export interface KeySource {
  /** Those that a token may be signed with, as they are known now; where none is, a fetch may have begun. */
  find(algorithm: Algorithm, kid: string | undefined): readonly VerifyKey[];
  /** Resolves when the fetch that is under way has ended; undefined: there is none. Never rejects. */
  readonly pending: Promise<void> | undefined;
  /** Whether the last fetch failed. */
  readonly failed: boolean;
}

export interface TokenRules {
  /** "": any. */
  readonly issuer: string;
  readonly audience: string;
  readonly toleranceSeconds: number;
  readonly maxTokenSeconds: number;
  readonly tokenBytes: number;
}

/** What a token that is good says. Times are seconds since 1970. */
export interface Claims {
  readonly sub: string;
  readonly exp: number;
  readonly iat: number | undefined;
  readonly jti: string | undefined;
  readonly grants: readonly Grant[];
  readonly all: Readonly<JWTPayload>;
}

/** Keys that are tried for one token. */
const TRIES_MAX = 8;
/** By then a fetch has ended, most likely. */
const RETRY_MS = 1_000;
/** Three parts of base64url. */
const FORM = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
/** Names in logs, limits and revocations. */
const NAME_CHARS_MAX = 256;

const ALGORITHMS: readonly Algorithm[] = ["HS256", "RS256", "ES256", "EdDSA"];

/** Keys that do not change. */
export function fixedKeys(keys: readonly VerifyKey[]): KeySource {
  return {
    find: (algorithm, kid) =>
      keys.filter(
        (key) =>
          key.algorithm === algorithm && (kid === undefined || key.kid === undefined || key.kid === kid),
      ),
    pending: undefined,
    failed: false,
  };
}

/**
 * Checks a token: form, size, algorithm by type of key, signature, times, issuer and audience, and the form of its claims.
 * Synchronous, since a handshake must be answered within its handler: an upgrade of uWebSockets.js after it, in the cork that
 * it asks for, reads memory that it has freed, and cuts some connections.
 * @throws CodedError `unauthenticated` or `too_large`, or `unavailable` where the token's key is not known yet.
 */
export function checkToken(token: string, keys: KeySource, rules: TokenRules, nowSeconds: number): Claims {
  if (token.length > rules.tokenBytes)
    throw new CodedError(
      "too_large",
      `the token has ${token.length} bytes, at most ${rules.tokenBytes} are taken`,
    );
  const { algorithm, kid } = headerOf(token);
  const candidates = keys.find(algorithm, kid).slice(0, TRIES_MAX);
  if (!candidates.some(({ key }) => isSigned(token, key, algorithm))) {
    if (candidates.length > 0) throw refused("its signature is wrong");
    if (keys.pending !== undefined || keys.failed)
      throw new CodedError("unavailable", "the keys of tokens are not known yet: come back soon", RETRY_MS);
    throw refused("no key for it is known here");
  }
  const payload = payloadOf(token);
  checkTimes(payload, rules, nowSeconds);
  checkParties(payload, rules);
  return claimsOf(payload, rules, nowSeconds);
}

/** The form is checked strictly, so that a token has one spelling only. */
function headerOf(token: string): { readonly algorithm: Algorithm; readonly kid: string | undefined } {
  if (!FORM.test(token)) throw refused("it is no JWT");
  let header: ReturnType<typeof decodeProtectedHeader>;
  try {
    header = decodeProtectedHeader(token);
  } catch {
    throw refused("it is no JWT");
  }
  const algorithm = ALGORITHMS.find((name) => name === header.alg);
  if (algorithm === undefined) throw refused(`its algorithm is none of ${ALGORITHMS.join(", ")}`);
  // Whatever it says must be understood, nothing is.
  if (header.crit !== undefined || header.b64 !== undefined)
    throw refused("its header asks for what is not done here");
  return { algorithm, kid: typeof header.kid === "string" ? header.kid : undefined };
}

function isSigned(token: string, key: KeyObject, algorithm: Algorithm): boolean {
  const dot = token.lastIndexOf(".");
  const input = Buffer.from(token.slice(0, dot));
  const signature = Buffer.from(token.slice(dot + 1), "base64url");
  switch (algorithm) {
    case "HS256": {
      const expected = createHmac("sha256", key).update(input).digest();
      return signature.length === expected.length && timingSafeEqual(signature, expected);
    }
    case "RS256":
      return verify("sha256", input, { key, padding: constants.RSA_PKCS1_PADDING }, signature);
    case "ES256":
      return verify("sha256", input, { key, dsaEncoding: "ieee-p1363" }, signature);
    case "EdDSA":
      return verify(null, input, key, signature);
  }
}

function payloadOf(token: string): JWTPayload {
  try {
    return decodeJwt(token);
  } catch {
    throw refused("it is no JWT");
  }
}

function checkTimes(
  { exp, nbf, iat }: JWTPayload,
  { toleranceSeconds }: TokenRules,
  nowSeconds: number,
): void {
  if (typeof exp !== "number") throw refused("it has no exp");
  for (const [name, time] of [
    ["exp", exp],
    ["nbf", nbf],
    ["iat", iat],
  ] as const)
    if (time !== undefined && !(typeof time === "number" && Number.isFinite(time)))
      throw refused(`its ${name} is not a time`);
  if (exp <= nowSeconds - toleranceSeconds) throw refused("it has expired");
  if (nbf !== undefined && nbf > nowSeconds + toleranceSeconds) throw refused("it is not valid yet");
  if (iat !== undefined && iat > nowSeconds + toleranceSeconds) throw refused("it is of the future (iat)");
}

function checkParties({ iss, aud }: JWTPayload, { issuer, audience }: TokenRules): void {
  if (issuer !== "" && iss !== issuer) throw refused("its iss is not the one that is asked for here");
  const audiences: unknown[] = Array.isArray(aud) ? aud : [aud];
  if (audience !== "" && !audiences.includes(audience))
    throw refused("its aud is not the one that is asked for here");
}

function claimsOf(payload: JWTPayload, rules: TokenRules, nowSeconds: number): Claims {
  const { sub, exp, iat, jti, rooms } = payload;
  if (typeof sub !== "string" || sub === "" || sub.length > NAME_CHARS_MAX)
    throw refused(`its sub is not text of 1 to ${NAME_CHARS_MAX} characters`);
  if (typeof exp !== "number") throw refused("it has no exp");
  if (jti !== undefined && (typeof jti !== "string" || jti.length > NAME_CHARS_MAX))
    throw refused(`its jti is not text of at most ${NAME_CHARS_MAX} characters`);
  const seconds = exp - (iat ?? nowSeconds);
  if (seconds > rules.maxTokenSeconds + rules.toleranceSeconds)
    throw refused(
      `it lives for ${Math.round(seconds)} s, at most ${rules.maxTokenSeconds} are taken (auth.maxTokenSeconds)`,
    );
  return { sub, exp, iat, jti, grants: grantsOf(rooms), all: payload };
}

function grantsOf(rooms: unknown): readonly Grant[] {
  if (rooms === undefined) return [];
  if (!Array.isArray(rooms) || rooms.length > GRANTS_MAX || !rooms.every(isGrant))
    throw refused(`its rooms are not a list of at most ${GRANTS_MAX} ${GRANT_TEXT}`);
  return rooms.map(([pattern, rights]) => ({ pattern, rights }));
}

function refused(why: string): CodedError {
  return new CodedError("unauthenticated", `the token is refused: ${why}`);
}
