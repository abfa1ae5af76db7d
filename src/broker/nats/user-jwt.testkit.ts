import { randomUUID } from "node:crypto";
import { nkeys } from "@nats-io/transport-node";

/** A deployment in operator mode, made by hand as `nsc` would: an operator, its accounts, and a user. */
export interface OperatorMode {
  /** Lines of the server's configuration. */
  readonly config: string;
  /** What the user's `.creds` file has. */
  readonly creds: string;
}

type Pair = ReturnType<typeof nkeys.createUser>;

const UNBOUNDED = {
  subs: -1,
  data: -1,
  payload: -1,
  imports: -1,
  exports: -1,
  wildcards: true,
  conn: -1,
  leaf: -1,
};
/** An account without these has no JetStream, and the system's must have none. */
const JETSTREAM = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };

/** @param expiresMs When the user's JWT expires, in milliseconds since 1970; undefined: never. */
export function operatorMode(expiresMs?: number): OperatorMode {
  const [operator, account, system] = [nkeys.createOperator(), nkeys.createAccount(), nkeys.createAccount()];
  const user = nkeys.createUser();
  const preload = [
    [account, jwt(operator, account, "FANWIRE", { type: "account", limits: { ...UNBOUNDED, ...JETSTREAM } })],
    [system, jwt(operator, system, "SYS", { type: "account", limits: UNBOUNDED })],
  ] as const;
  const config = [
    `operator: "${jwt(operator, operator, "test", { type: "operator" })}"`,
    `system_account: ${system.getPublicKey()}`,
    "resolver: MEMORY",
    "resolver_preload {",
    ...preload.map(([pair, text]) => `  ${pair.getPublicKey()}: "${text}"`),
    "}",
  ];
  const userClaims = { type: "user", pub: {}, sub: {}, subs: -1, data: -1, payload: -1 };
  const creds = `-----BEGIN NATS USER JWT-----
${jwt(account, user, "engine", userClaims, expiresMs)}
------END NATS USER JWT------

************************* IMPORTANT *************************
NKEY Seed printed below can be used to sign and prove identity.

-----BEGIN USER NKEY SEED-----
${new TextDecoder().decode(user.getSeed())}
------END USER NKEY SEED------
`;
  return { config: config.join("\n"), creds };
}

function jwt(issuer: Pair, subject: Pair, name: string, claims: object, expiresMs?: number): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const iat = Math.floor(Date.now() / 1_000) - 60;
  const exp = expiresMs === undefined ? {} : { exp: Math.floor(expiresMs / 1_000) };
  const ids = {
    jti: randomUUID(),
    iat,
    ...exp,
    iss: issuer.getPublicKey(),
    sub: subject.getPublicKey(),
    name,
  };
  const text = `${part({ typ: "JWT", alg: "ed25519-nkey" })}.${part({ ...ids, nats: { ...claims, version: 2 } })}`;
  return `${text}.${Buffer.from(issuer.sign(Buffer.from(text))).toString("base64url")}`;
}
