import { createHash, createPublicKey, createSecretKey, type JsonWebKey, type KeyObject } from "node:crypto";

/** One algorithm a type of key, so that no token can choose how a key is used. */
export type Algorithm = "HS256" | "RS256" | "ES256" | "EdDSA";

/** A key that tokens are checked by. */
export interface VerifyKey {
  readonly algorithm: Algorithm;
  /** What tokens call it; undefined: it is tried for every token of its algorithm. */
  readonly kid: string | undefined;
  readonly key: KeyObject;
  /** The same for the same key under the same name. */
  readonly id: string;
}

/** Of one set; more would let a token cost too much. */
export const KEYS_MAX = 64;

const RSA_BITS_MIN = 2_048;

export function secretKey(secret: string): VerifyKey {
  return keyOf(createSecretKey(secret, "utf8"), "HS256", undefined);
}

/**
 * The keys in a file's text: PEM (public key or certificate), one JWK, or a JWKS.
 * @throws Error saying what is wrong with it.
 */
export function keysOfText(text: string): readonly VerifyKey[] {
  if (/^\s*-----BEGIN /.test(text)) return [publicKeyOf(createPublicKey(text), undefined)];
  const value: unknown = JSON.parse(text);
  if (isRecord(value) && Array.isArray(value.keys)) return keysOfSet(value);
  return [keyOfJwk(value)];
}

/**
 * The keys of a JWKS that tokens can be checked by; those of other types or for other uses are left out.
 * @throws Error where it is none, or has none of these.
 */
export function keysOfSet(value: unknown): readonly VerifyKey[] {
  if (!isRecord(value) || !Array.isArray(value.keys)) throw new Error('a JWKS has a list "keys"');
  if (value.keys.length > KEYS_MAX)
    throw new Error(`${value.keys.length} keys, at most ${KEYS_MAX} are taken`);
  const problems: string[] = [];
  const keys = value.keys.flatMap((jwk: unknown) => {
    try {
      return [keyOfJwk(jwk)];
    } catch (cause) {
      problems.push(cause instanceof Error ? cause.message : String(cause));
      return [];
    }
  });
  if (keys.length === 0) throw new Error(`no key of it can be used: ${problems.join("; ") || "it is empty"}`);
  return keys;
}

function keyOfJwk(jwk: unknown): VerifyKey {
  if (!isRecord(jwk)) throw new Error("a JWK is an object");
  if (jwk.use !== undefined && jwk.use !== "sig")
    throw new Error(`use ${JSON.stringify(jwk.use)} is not sig`);
  // A secret in a place for public keys is no secret, and would let whoever reads it make tokens.
  if (jwk.kty === "oct") throw new Error("a secret belongs into auth.secret");
  const kid = typeof jwk.kid === "string" ? jwk.kid : undefined;
  const jsonWebKey: JsonWebKey = { ...jwk };
  const found = publicKeyOf(createPublicKey({ key: jsonWebKey, format: "jwk" }), kid);
  if (
    jwk.alg !== undefined &&
    jwk.alg !== found.algorithm &&
    !(jwk.alg === "Ed25519" && found.algorithm === "EdDSA")
  )
    throw new Error(`alg ${JSON.stringify(jwk.alg)} is not ${found.algorithm}, the one for this type of key`);
  return found;
}

function publicKeyOf(key: KeyObject, kid: string | undefined): VerifyKey {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === "rsa") {
    const bits = details?.modulusLength ?? 0;
    if (bits < RSA_BITS_MIN) throw new Error(`an RSA key has at least ${RSA_BITS_MIN} bits, not ${bits}`);
    return keyOf(key, "RS256", kid);
  }
  if (type === "ec" && details?.namedCurve === "prime256v1") return keyOf(key, "ES256", kid);
  if (type === "ed25519") return keyOf(key, "EdDSA", kid);
  throw new Error(`a key of type ${type} ${details?.namedCurve ?? ""}: allowed are RSA, P-256 and Ed25519`);
}

function keyOf(key: KeyObject, algorithm: Algorithm, kid: string | undefined): VerifyKey {
  const der = key.type === "secret" ? key.export() : key.export({ type: "spki", format: "der" });
  const id = createHash("sha256")
    .update(der)
    .update(`${algorithm} ${kid ?? ""}`)
    .digest("base64");
  return Object.freeze({ algorithm, kid, key, id });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
