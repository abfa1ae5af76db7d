import { createHash } from "node:crypto";
import type { Rights } from "../../core/access.js";
import type { Config } from "../config.js";
import { CompiledRights, EVERYTHING } from "./grant.js";

/** A key that was found. */
export interface ApiKey {
  /** `key 1` and so on, where the configuration gives no name. */
  readonly name: string;
  readonly rights: Rights;
  /** May revoke tokens and drain. */
  readonly admin: boolean;
}

/**
 * The keys of the HTTP API by their digests. Looked up by digest, so that how long it takes depends on the digest of what
 * was given, which tells nothing of any key.
 */
export class ApiKeys {
  readonly #byDigest = new Map<string, ApiKey>();

  constructor(keys: Config["apiKeys"]) {
    for (const [index, key] of keys.entries()) {
      if (typeof key === "string") {
        const rights = new CompiledRights(EVERYTHING, undefined, () => 0);
        this.#byDigest.set(digestOf(key), { name: `key ${index + 1}`, rights, admin: true });
      } else {
        const grants = key.rooms.map(([pattern = "", rights = ""]) => ({ pattern, rights }));
        const rights = new CompiledRights(grants, undefined, () => 0);
        this.#byDigest.set(key.sha256, { name: key.name, rights, admin: key.admin });
      }
    }
  }

  get size(): number {
    return this.#byDigest.size;
  }

  find(key: string): ApiKey | undefined {
    return this.#byDigest.get(digestOf(key));
  }
}

/** What of a key stands in the configuration: SHA-256 in hex. */
export function digestOf(key: string): string {
  return createHash("sha256").update(key).digest("hex");
}

/** The credential of `Authorization: Bearer …`; undefined where there is none. */
export function bearerOf(authorization: string | undefined): string | undefined {
  return /^bearer +(\S+)$/i.exec(authorization?.trim() ?? "")?.[1];
}
