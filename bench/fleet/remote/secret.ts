import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import { BadOption } from "../../support/scenario.js";

const SECRET_VARIABLE = "FANWIRE_BENCH_SECRET";
const SECRET_CHARS_MIN = 16;
const SECRET_CHARS_MAX = 1_024;

/**
 * What agents and benches share, from a file or, where that is "", from the environment.
 * @throws BadOption where there is none, or one that can be guessed.
 */
export function readSecret(file: string, env: NodeJS.ProcessEnv = process.env): string {
  const secret = (file === "" ? (env[SECRET_VARIABLE] ?? "") : readFile(file)).trim();
  if (secret.length >= SECRET_CHARS_MIN && secret.length <= SECRET_CHARS_MAX) return secret;
  const where = file === "" ? `${SECRET_VARIABLE}, or a file by --secret-file,` : file;
  throw new BadOption(
    `${where} must hold the secret that agents and bench share, ${SECRET_CHARS_MIN} to ${SECRET_CHARS_MAX} characters ("openssl rand -hex 32" makes one)`,
  );
}

function readFile(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new BadOption(`--secret-file ${file}: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

export function newNonce(): string {
  return randomBytes(24).toString("hex");
}

export type Side = "agent" | "bench";

/** Shows that a side knows the secret, without telling it: of both nonces, so that no proof is of use a second time. */
export function proofOf(side: Side, secret: string, agentNonce: string, benchNonce: string): string {
  return createHmac("sha256", secret)
    .update(`fanwire-fleet ${side} ${agentNonce} ${benchNonce}`)
    .digest("hex");
}

export function isProof(given: unknown, expected: string): boolean {
  if (typeof given !== "string" || given.length !== expected.length) return false;
  return timingSafeEqual(Buffer.from(given), Buffer.from(expected));
}
