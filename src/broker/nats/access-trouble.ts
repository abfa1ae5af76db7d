import { connect } from "node:net";
import { AuthorizationError, PermissionViolationError, RequestError } from "@nats-io/transport-node";
import { CodedError } from "../../protocol/errors.js";
import type { NatsAccess } from "./connection.js";

/** Why a connection could not be made. */
export interface Trouble {
  readonly error: CodedError;
  /** Trying again does not help: somebody has to change something. */
  readonly isLasting: boolean;
}

/** What a failed try to connect means, and what to change where something must be. Shows no secret. */
export async function troubleOf(access: NatsAccess, cause: unknown): Promise<Trouble> {
  const where = `NATS at ${access.servers.join(", ")}`;
  const reason = cause instanceof Error ? cause.message : String(cause);
  const lasting = (code: "unauthenticated" | "unavailable", text: string): Trouble => ({
    error: new CodedError(code, `${where}: ${text} (${reason})`),
    isLasting: true,
  });
  if (cause instanceof AuthorizationError && !/timeout/i.test(reason))
    return lasting("unauthenticated", refusalOf(access));
  const server = serverFault(codeOf(cause), access);
  if (server !== undefined) return lasting("unavailable", server);
  if (/does not support 'tls'/.test(reason))
    return lasting(
      "unavailable",
      "the server has no TLS: name it nats:// and set no nats.caFile or nats.certFile",
    );
  // A server that wants another certificate just ends the connection, or says so after the handshake is over.
  if (await wantsCertificate(access.servers)) {
    const text =
      access.tls?.certFile === undefined
        ? "the server wants a certificate of its clients: set nats.certFile and nats.keyFile"
        : "the server wants a certificate of its clients, and probably does not trust who signed nats.certFile";
    return lasting("unauthenticated", text);
  }
  return { error: new CodedError("unavailable", `${where}: ${reason}`, RETRY_MS), isLasting: false };
}

/** A right that was found missing, as a coded error that names it; undefined where it is something else. */
export function missingRight(cause: unknown): CodedError | undefined {
  const violation = cause instanceof RequestError ? cause.cause : cause;
  if (!(violation instanceof PermissionViolationError)) return undefined;
  return forbidden([
    `${violation.operation === "publish" ? "publish" : "subscribe"} to "${violation.subject}"`,
  ]);
}

/**
 * @param rights Such as `publish to "fw.in.0.a"`.
 * @param hint What else may be wrong.
 */
export function forbidden(rights: readonly string[], hint?: string): CodedError {
  return new CodedError(
    "forbidden",
    `NATS does not let this user ${rights.join(", nor ")}. Give it these rights (scripts/nats-accounts.conf has all that are needed)${hint === undefined ? "" : `; ${hint}`}`,
  );
}

const RETRY_MS = 1_000;

function refusalOf({ user, token, nkeyFile, credsFile }: NatsAccess): string {
  if (user !== undefined)
    return `the server refuses user ${JSON.stringify(user)}: check nats.user and nats.password`;
  if (token !== undefined) return "the server refuses the token: check nats.token";
  if (nkeyFile !== undefined) return `the server refuses the nkey of ${nkeyFile}: check nats.nkeyFile`;
  if (credsFile !== undefined)
    return `the server refuses the credentials of ${credsFile}: check nats.credsFile and that they have not expired`;
  return "the server wants credentials: set nats.user and nats.password, nats.token, nats.nkeyFile or nats.credsFile";
}

/** What is wrong with the server's certificate; undefined where nothing is. */
function serverFault(code: string, { tls }: NatsAccess): string | undefined {
  if (UNTRUSTED.includes(code))
    return tls?.caFile === undefined
      ? "no authority of this system signed the server's certificate: name the one that did by nats.caFile"
      : `no authority of ${tls.caFile} signed the server's certificate: check nats.caFile`;
  if (code === "CERT_HAS_EXPIRED" || code === "CERT_NOT_YET_VALID")
    return "the server's certificate is not valid at this time";
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID")
    return tls === undefined
      ? "the server's certificate is for another name: name the server tls://, by a name that the certificate has"
      : "the server's certificate is for another name: name the server by one that it has";
  return undefined;
}

const UNTRUSTED: readonly string[] = [
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "CERT_SIGNATURE_FAILURE",
];

function codeOf(cause: unknown): string {
  const { code } = typeof cause === "object" && cause !== null && "code" in cause ? cause : { code: "" };
  return typeof code === "string" ? code : "";
}

/** Whether a server that answers says that clients must have a certificate. */
async function wantsCertificate(servers: readonly string[]): Promise<boolean> {
  const infos = await Promise.all(servers.slice(0, PROBES).map(infoOf));
  return infos.some((info) => /"tls_verify":\s*true/.test(info));
}

const PROBES = 3;
const PROBE_MS = 1_000;
const INFO_BYTES_MAX = 65_536;

/** The line that a server begins every connection with; "" where it does not. */
function infoOf(server: string): Promise<string> {
  const [, host = "", port = ""] = /^(.*):(\d+)$/.exec(server) ?? [];
  return new Promise((resolve) => {
    const socket = connect({ host: host.replaceAll(/[[\]]/g, ""), port: Number(port) });
    let text = "";
    const end = (): void => {
      socket.destroy();
      resolve(text);
    };
    socket.setTimeout(PROBE_MS, end);
    socket.on("error", end);
    socket.on("close", end);
    socket.on("data", (bytes) => {
      text += bytes.toString("latin1");
      if (text.includes("\r\n") || text.length > INFO_BYTES_MAX) end();
    });
  });
}
