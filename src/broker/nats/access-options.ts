import { readFileSync } from "node:fs";
import { checkServerIdentity, createSecureContext, type PeerCertificate } from "node:tls";
import {
  type Authenticator,
  credsAuthenticator,
  type NodeConnectionOptions,
  nkeyAuthenticator,
  nkeys,
} from "@nats-io/transport-node";
import { CodedError } from "../../protocol/errors.js";
import type { NatsAccess, TlsFiles } from "./connection.js";

/** What the client needs to know of credentials and TLS. */
export type AccessOptions = Pick<
  NodeConnectionOptions,
  "user" | "pass" | "token" | "authenticator" | "tls" | "inboxPrefix"
>;

/**
 * Files are read once here, so that what is wrong with them is told at the start, and again at every connect, so that they
 * may be renewed while a node runs.
 * @throws CodedError `bad_request` where a file cannot be read, or is not what it should be.
 */
export function accessOptions(access: NatsAccess): AccessOptions {
  const { servers, user, password, token, tls, inboxPrefix } = access;
  const authenticator = authenticatorOf(access);
  return {
    ...(user === undefined ? {} : { user, pass: password ?? "" }),
    ...(token === undefined ? {} : { token }),
    ...(authenticator === undefined ? {} : { authenticator }),
    ...(tls === undefined ? {} : { tls: tlsOptions(tls, servers) }),
    ...(inboxPrefix === undefined ? {} : { inboxPrefix }),
  };
}

function authenticatorOf({ nkeyFile, credsFile }: NatsAccess): Authenticator | undefined {
  if (nkeyFile !== undefined) {
    checkSeed(nkeyFile, readAs("nats.nkeyFile", nkeyFile).trim());
    return (nonce) => nkeyAuthenticator(Buffer.from(readFileSync(nkeyFile, "utf8").trim()))(nonce);
  }
  if (credsFile === undefined) return undefined;
  const seed = CREDENTIALS.exec(readAs("nats.credsFile", credsFile))?.[1];
  if (seed === undefined)
    throw wrong("nats.credsFile", credsFile, "has no user JWT followed by its seed, as nsc writes them");
  checkSeed(credsFile, seed, "nats.credsFile");
  return (nonce) => credsAuthenticator(readFileSync(credsFile))(nonce);
}

/** A file of `nsc`: the JWT between dashes, then the seed. */
const CREDENTIALS = /BEGIN NATS USER JWT-+\s+\S+\s[\s\S]*BEGIN USER NKEY SEED-+\s+(\S+)/;

function checkSeed(path: string, seed: string, key = "nats.nkeyFile"): void {
  try {
    if (!seed.startsWith("SU")) throw new Error("not of a user");
    nkeys.fromSeed(Buffer.from(seed));
  } catch {
    throw wrong(key, path, "has no valid seed of a user: it begins with SU");
  }
}

function tlsOptions(files: TlsFiles, servers: readonly string[]): NonNullable<AccessOptions["tls"]> {
  const { caFile, certFile, keyFile } = files;
  const ca = pem("nats.caFile", caFile, "CERTIFICATE");
  const cert = pem("nats.certFile", certFile, "CERTIFICATE");
  const key = pem("nats.keyFile", keyFile, "PRIVATE KEY");
  try {
    createSecureContext({ ca, cert, key });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CodedError(
      "bad_request",
      `nats.caFile, nats.certFile and nats.keyFile do not go together: ${reason}`,
    );
  }
  const options = {
    ...(caFile === undefined ? {} : { caFile }),
    ...(certFile === undefined ? {} : { certFile }),
    ...(keyFile === undefined ? {} : { keyFile }),
    checkServerIdentity: identityChecker(servers),
  };
  return options;
}

/**
 * The client does not say which address it connected to where that is an IP address, and Node then takes the certificate
 * for one of "localhost". Any of the configured addresses will do instead: all are servers of one system.
 */
function identityChecker(servers: readonly string[]): typeof checkServerIdentity {
  const hosts = servers.map((server) => server.replace(/:\d+$/, "").replaceAll(/[[\]]/g, ""));
  return (host: string, certificate: PeerCertificate) => {
    const fault = checkServerIdentity(host, certificate);
    if (fault === undefined || host !== "localhost") return fault;
    const faults = hosts.map((address) => checkServerIdentity(address, certificate));
    return faults.includes(undefined) ? undefined : (faults[0] ?? fault);
  };
}

function pem(key: string, path: string | undefined, what: string): string | undefined {
  if (path === undefined) return undefined;
  const text = readAs(key, path);
  if (!new RegExp(`-----BEGIN [A-Z ]*${what}-----`).test(text)) throw wrong(key, path, `has no PEM ${what}`);
  return text;
}

function readAs(key: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw wrong(key, path, `cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

function wrong(key: string, path: string, what: string): CodedError {
  return new CodedError("bad_request", `${key} ${path} ${what}`);
}
