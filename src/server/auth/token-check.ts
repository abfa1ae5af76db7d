import { decodeProtectedHeader, errors, type JWTPayload, jwtVerify } from "jose";
import { CodedError } from "../../protocol/errors.js";
import { GRANT_TEXT, GRANTS_MAX, type Grant, isGrant } from "./grant.js";
import type { Algorithm, VerifyKey } from "./verify-key.js";

/** Where keys come from. */
export interface KeySource {
  /** Those that a token may be signed with. Rejects with a CodedError `unavailable` where that cannot be known now. */
  find(algorithm: Algorithm, kid: string | undefined): Promise<readonly VerifyKey[]>;
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
/** Names in logs, limits and revocations. */
const NAME_CHARS_MAX = 256;

const ALGORITHMS: readonly Algorithm[] = ["HS256", "RS256", "ES256", "EdDSA"];

/** Keys that do not change. */
export function fixedKeys(keys: readonly VerifyKey[]): KeySource {
  return {
    find: async (algorithm, kid) =>
      keys.filter(
        (key) =>
          key.algorithm === algorithm && (kid === undefined || key.kid === undefined || key.kid === kid),
      ),
  };
}

/**
 * Checks a token: form, size, algorithm by type of key, signature, times, issuer and audience, and the form of its claims.
 * Rejects with a CodedError: `unauthenticated` or `too_large`, or `unavailable` where keys cannot be fetched.
 */
export async function checkToken(
  token: string,
  keys: KeySource,
  rules: TokenRules,
  nowSeconds: number,
): Promise<Claims> {
  if (token.length > rules.tokenBytes)
    throw new CodedError(
      "too_large",
      `the token has ${token.length} bytes, at most ${rules.tokenBytes} are taken`,
    );
  const { algorithm, kid } = headerOf(token);
  const candidates = (await keys.find(algorithm, kid)).slice(0, TRIES_MAX);
  for (const { key } of candidates) {
    const payload = await verified(token, key, algorithm, rules, nowSeconds);
    if (payload !== undefined) return claimsOf(payload, rules, nowSeconds);
  }
  throw refused(candidates.length === 0 ? "no key for it is known here" : "its signature is wrong");
}

function headerOf(token: string): { readonly algorithm: Algorithm; readonly kid: string | undefined } {
  let header: ReturnType<typeof decodeProtectedHeader>;
  try {
    header = decodeProtectedHeader(token);
  } catch {
    throw refused("it is no JWT");
  }
  const algorithm = ALGORITHMS.find((name) => name === header.alg);
  if (algorithm === undefined) throw refused(`its algorithm is none of ${ALGORITHMS.join(", ")}`);
  return { algorithm, kid: typeof header.kid === "string" ? header.kid : undefined };
}

/** Undefined where the signature is of another key. */
async function verified(
  token: string,
  key: VerifyKey["key"],
  algorithm: Algorithm,
  { issuer, audience, toleranceSeconds }: TokenRules,
  nowSeconds: number,
): Promise<JWTPayload | undefined> {
  try {
    const { payload } = await jwtVerify(token, key, {
      algorithms: [algorithm],
      clockTolerance: toleranceSeconds,
      currentDate: new Date(nowSeconds * 1_000),
      requiredClaims: ["sub", "exp"],
      ...(issuer === "" ? {} : { issuer }),
      ...(audience === "" ? {} : { audience }),
    });
    return payload;
  } catch (cause) {
    if (cause instanceof errors.JWSSignatureVerificationFailed) return undefined;
    if (cause instanceof errors.JWTExpired) throw refused("it has expired");
    if (cause instanceof errors.JWTClaimValidationFailed) throw refused(claimProblem(cause));
    if (cause instanceof errors.JOSEError) throw refused("it is no JWT");
    throw cause;
  }
}

function claimProblem({ claim, reason }: errors.JWTClaimValidationFailed): string {
  if (reason === "missing") return `it has no ${claim}`;
  if (claim === "nbf" && reason === "check_failed") return "it is not valid yet";
  if (claim === "iss" || claim === "aud") return `its ${claim} is not the one that is asked for here`;
  return `its ${claim} is not what it must be`;
}

function claimsOf(payload: JWTPayload, rules: TokenRules, nowSeconds: number): Claims {
  const { sub, exp, iat, jti, rooms } = payload;
  if (typeof sub !== "string" || sub === "" || sub.length > NAME_CHARS_MAX)
    throw refused(`its sub is not text of 1 to ${NAME_CHARS_MAX} characters`);
  if (typeof exp !== "number") throw refused("it has no exp");
  if (iat !== undefined && iat > nowSeconds + rules.toleranceSeconds)
    throw refused("it is of the future (iat)");
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
