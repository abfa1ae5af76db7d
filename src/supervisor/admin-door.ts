import type { IncomingHttpHeaders } from "node:http";
import type { ApiKeys } from "../server/auth/api-keys.js";
import { createKeyCheck, type KeyCheck } from "../server/http-auth.js";
import { HttpError } from "../server/http-reply.js";
import { isLoopbackHost } from "../server/loopback.js";

/**
 * What a request of the admin port needs. "nothing": for probes, which have no key, and tells nothing worth one. "reader": any key,
 * where other machines reach the port. "looker": what tells of rooms and clients; a key with admin where other machines reach the
 * port or rooms need tokens. "admin": what does something; a key with admin wherever there are keys.
 */
export type Needs = "nothing" | "reader" | "looker" | "admin";

export interface DoorOptions {
  readonly host: string;
  readonly apiKeys: () => ApiKeys;
  /** Whether rooms need tokens now: then their names are nobody's business either. */
  readonly asksTokens: () => boolean;
}

/** Who may ask what of the admin port. */
export class AdminDoor {
  readonly #checkKey: KeyCheck;
  readonly #apiKeys: () => ApiKeys;
  readonly #asksTokens: () => boolean;
  /** No other machine reaches the port. */
  readonly #isLocal: boolean;

  constructor({ host, apiKeys, asksTokens }: DoorOptions) {
    this.#checkKey = createKeyCheck(apiKeys);
    this.#apiKeys = apiKeys;
    this.#asksTokens = asksTokens;
    this.#isLocal = isLoopbackHost(host);
  }

  /** Whether what does something needs a key. */
  get hasKeys(): boolean {
    return this.#apiKeys().size > 0;
  }

  /** @throws HttpError */
  check(method: string | undefined, headers: IncomingHttpHeaders, needs: Needs): void {
    this.checkNames(method, headers);
    this.checkRight(headers.authorization, needs);
  }

  /** @throws HttpError 403 */
  checkNames(method: string | undefined, { host, origin }: IncomingHttpHeaders): void {
    // A page in an operator's browser may send a POST anywhere, this port included.
    if (method === "POST" && origin !== undefined && !isSameHost(origin, host))
      throw new HttpError(
        403,
        "forbidden",
        "requests of web pages (with Origin) may not do this, but for this port's own",
      );
    // And a page whose name was made to point here may read what it gets.
    if (this.#isLocal && !isLoopbackHost(hostNameOf(host)))
      throw new HttpError(
        403,
        "forbidden",
        "this port is this machine's: Host must be localhost or its address",
      );
  }

  /** @throws HttpError 401 or 403 */
  checkRight(authorization: string | undefined, needs: Needs): void {
    if (needs === "admin" || (needs === "reader" && !this.#isLocal))
      this.#checkKey(authorization, needs === "admin" ? "admin" : "any key");
    if (needs !== "looker" || (this.#isLocal && !this.#asksTokens())) return;
    if (!this.hasKeys)
      throw new HttpError(
        403,
        "forbidden",
        "rooms need tokens here, so this needs an API key with admin, and apiKeys has none: see fanwire key",
      );
    this.#checkKey(authorization, "admin");
  }
}

/** The page's scheme decides which port may be left out of `Host`. */
function isSameHost(origin: string, host: string | undefined): boolean {
  if (!URL.canParse(origin)) return false;
  const page = new URL(origin);
  const own = `${page.protocol}//${host}`;
  return page.host !== "" && URL.canParse(own) && new URL(own).host === page.host;
}

/** Without the port. */
function hostNameOf(host = ""): string {
  return host
    .replace(/:\d+$/, "")
    .replace(/^\[(.*)\]$/, "$1")
    .toLowerCase();
}
