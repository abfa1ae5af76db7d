import type { HttpReply } from "./http-types.js";
import { isOriginAllowed } from "./upgrade.js";

/** What of a uWebSockets.js request is used; valid during the handler only. "" where a header is missing. */
interface CorsRequest {
  getCaseSensitiveMethod(): string;
  getHeader(lowerCaseName: string): string;
}

const METHODS = "GET, POST";
const HEADERS = "authorization, content-type, fanwire-key, idempotency-key, last-event-id";
/** How long a browser need not ask again. */
const MAX_AGE_SECONDS = 600;

const NONE: Readonly<Record<string, string>> = Object.freeze({});

/** Which pages may read answers over HTTP: those that may connect. A page of the server's own origin asks nobody. */
export class Cors {
  readonly #origins: readonly string[];

  /** @param origins As in `UpgradePolicy`. */
  constructor(origins: readonly string[]) {
    this.#origins = origins;
  }

  /** What an answer says to a page of another origin, if that may read it. Nothing of cookies: they mean nothing here. */
  headersFor(req: CorsRequest): Readonly<Record<string, string>> {
    const origin = req.getHeader("origin");
    if (origin === "" || !isOriginAllowed(origin, req.getHeader("host"), this.#origins)) return NONE;
    return { "access-control-allow-origin": origin, vary: "origin" };
  }

  /** The answer to a browser that asks whether a page may send a request; undefined where it asks no such thing, or the page may not. */
  preflight(req: CorsRequest): HttpReply | undefined {
    if (req.getCaseSensitiveMethod() !== "OPTIONS") return undefined;
    if (req.getHeader("access-control-request-method") === "") return undefined;
    const allowed = this.headersFor(req);
    if (allowed === NONE) return undefined;
    const headers = {
      "access-control-allow-methods": METHODS,
      "access-control-allow-headers": HEADERS,
      "access-control-max-age": String(MAX_AGE_SECONDS),
    };
    return { status: 204, headers, body: "" };
  }
}
