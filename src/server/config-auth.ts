import { z } from "zod";
import { GRANT_TEXT, GRANTS_MAX, isGrant } from "./auth/grant.js";
import { integer, key } from "./config-keys.js";

const grant = key(z.tuple([z.string(), z.string()]).refine(isGrant), {
  description: "rights in rooms",
  allowed: GRANT_TEXT,
});

const text = (description: string, allowed: string, secret = false) =>
  key(z.string().max(4_096).default(""), { description, allowed: `${allowed}; empty: none`, secret });

/** Without credentials: it is shown and logged. */
const isPlainUrl = (url: string) =>
  /^https?:\/\//.test(url) && URL.canParse(url) && new URL(url).username + new URL(url).password === "";

/** Who may connect and what they may do. */
export const auth = z
  .strictObject({
    secret: key(
      z
        .string()
        .regex(/^(?:|[\x21-\x7e]{32,4096})$/)
        .default(""),
      {
        description: "secret that tokens are signed with (HS256)",
        allowed: '32 to 4096 printable characters (make one by "openssl rand -hex 32"); empty: none',
        secret: true,
      },
    ),
    keyFile: text(
      "file with the public key or keys that tokens are checked by: PEM, JWK or JWKS; RSA for RS256, P-256 for ES256, " +
        "Ed25519 for EdDSA; read at every start of a worker",
      "path",
    ),
    jwksUrl: key(
      z
        .string()
        .max(4_096)
        .refine((url) => url === "" || isPlainUrl(url))
        .default(""),
      {
        description: "where the same keys are fetched from, as a JWKS; they may change at any time",
        allowed: "URL of https (http for tests only); empty: none",
      },
    ),
    issuer: text("what tokens must say in iss", "text"),
    audience: text("what tokens must say in aud, or have in its list", "text"),
    rooms: key(z.array(grant).max(GRANTS_MAX).default([]), {
      description: "rights of every token, besides those in its own claim rooms",
      allowed: `JSON list of ${GRANT_TEXT}`,
    }),
    toleranceSeconds: integer(0, 300, 5, "how far clocks may differ from those of whoever makes tokens"),
    maxTokenSeconds: integer(
      60,
      31_536_000,
      86_400,
      "longest time from iat to exp of a token, and so how long revocations and keys that are gone must be remembered",
    ),
    tokenBytes: integer(256, 12_288, 4_096, "longest token"),
    warnSeconds: integer(
      1,
      3_600,
      60,
      "how long before a token expires its connection is told; less for tokens that live less than four times as long",
    ),
    timeoutMs: integer(100, 7_000, 3_000, "a fetch of keys that takes longer has failed"),
    jwksRefreshSeconds: integer(10, 86_400, 600, "how old fetched keys may be before they are fetched anew"),
    jwksCooldownSeconds: integer(
      1,
      3_600,
      10,
      "least time between two fetches, whatever unknown keys tokens name",
    ),
    revocations: integer(
      1,
      10_000_000,
      100_000,
      "revocations that are remembered at once; with NATS the deployment's, as provisioned",
    ),
    revocationsFile: text(
      "file that keeps revocations over a restart of this node, which alone writes it; nodes with NATS keep them there, too",
      "path",
    ),
  })
  .prefault({});

/** What a program that embeds the engine wants to be asked. */
export const hooks = z
  .strictObject({
    module: text(
      "ES module that exports onConnect, onSubscribe, onSubscribePattern or onPublish, loaded by each worker; relative to the working directory",
      "path",
    ),
    timeoutMs: integer(10, 60_000, 2_000, "a hook that takes longer refuses its operation"),
  })
  .prefault({});

const plainKey = z.string().regex(/^[A-Za-z0-9._~+/-]{16,256}=*$/);

const namedKey = z.strictObject({
  name: z.string().regex(/^[A-Za-z0-9._-]{1,64}$/),
  /** Of the key's bytes. No salt and no slow hash: a key is 256 random bits, which nobody guesses, and is checked at every request. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  rooms: z
    .array(grant)
    .max(GRANTS_MAX)
    .default([[">", "sphm"]]),
  admin: z.boolean().default(false),
});

const KEY_TEXT =
  'keys of 16 to 256 of A-Z a-z 0-9 - . _ ~ + /, or what "fanwire key" prints: {"name","sha256","rooms"?: list of ' +
  '[pattern, rights],"admin"?: may revoke and drain}';

export const apiKeys = key(
  z
    .array(
      key(z.union([plainKey, namedKey]), {
        description: "an API key",
        allowed: `one of ${KEY_TEXT}`,
        secret: true,
      }),
    )
    .max(1_000)
    .default([]),
  {
    description:
      "who may write over HTTP; none: everybody who reaches the port, or with auth those whose token says so",
    allowed: `list of ${KEY_TEXT}`,
    secret: true,
    alias: "apiKey",
  },
);
