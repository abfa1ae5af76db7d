import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";

export interface TlsFiles {
  /** Paths; both empty: no TLS. */
  readonly cert: string;
  readonly key: string;
}

/** What every reply says where TLS ends here; without TLS browsers take no notice of it. */
export function strictTransport({ cert }: TlsFiles, hstsSeconds: number): Readonly<Record<string, string>> {
  if (cert === "" || hstsSeconds === 0) return {};
  return { "strict-transport-security": `max-age=${hstsSeconds}` };
}

/** What is worth telling of a certificate. */
export interface CertificateFacts {
  readonly subject: string;
  readonly expires: string;
  /** Nobody who checks it will connect. */
  readonly expired: boolean;
}

/**
 * Reads certificate and key as the listener will, since uWebSockets.js only says that something is wrong. Undefined
 * without TLS. Never shows what is in the key.
 * @throws Error naming the setting, the file and what is wrong with it.
 */
export function checkTlsFiles({ cert, key }: TlsFiles, nowMs: number): CertificateFacts | undefined {
  if (cert === "") return undefined;
  const chain = read("tls.cert", cert);
  const secret = read("tls.key", key);
  let first: X509Certificate;
  try {
    first = new X509Certificate(chain);
  } catch {
    throw new Error(`tls.cert: ${cert} is no certificate in PEM`);
  }
  try {
    createSecureContext({ cert: chain, key: secret });
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
    const why =
      code === "ERR_OSSL_X509_KEY_VALUES_MISMATCH"
        ? `is not the key of the first certificate in ${cert}`
        : "is no private key in PEM without a passphrase";
    throw new Error(`tls.key: ${key} ${why}${code === "" ? "" : ` (${code})`}`);
  }
  const expires = new Date(first.validTo);
  return {
    subject: first.subject?.replaceAll("\n", ", ") ?? "",
    expires: expires.toISOString(),
    expired: expires.getTime() < nowMs,
  };
}

function read(setting: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "error";
    throw new Error(`${setting}: ${path} cannot be read: ${code}`);
  }
}
