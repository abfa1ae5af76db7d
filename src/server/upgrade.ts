import { CodedError } from "../protocol/errors.js";
import { SUBPROTOCOLS, type Subprotocol } from "../protocol/frames.js";
import { HttpError } from "./http-reply.js";

/** What of a request to `/ws` decides about its upgrade; "" where a header is missing. */
export interface UpgradeRequest {
  /** Upper case. */
  readonly method: string;
  readonly host: string;
  readonly origin: string;
  readonly upgrade: string;
  readonly version: string;
  readonly key: string;
  readonly protocol: string;
}

export interface UpgradePolicy {
  /**
   * Which web pages may connect. Empty: those of the same host. `"*"`: all. Else exactly those listed, as
   * `scheme://host[:port]`. Requests without `Origin`, which no browser makes, always pass.
   */
  readonly origins: readonly string[];
  readonly connectionsMax: number;
  /** When those may come back who find the server full or leaving. */
  readonly retryMs: number;
}

export type UpgradeDecision =
  | {
      readonly kind: "accept";
      readonly subprotocol: Subprotocol;
      /** What to answer in `Sec-WebSocket-Protocol`; "" where the client offered none. */
      readonly header: string;
    }
  | { readonly kind: "refuse"; readonly error: CodedError };

/** Every check of a WebSocket handshake (RFC 6455, 4.2.1) that uWebSockets.js leaves out, and ours. Pure. */
export function decideUpgrade(
  request: UpgradeRequest,
  policy: UpgradePolicy,
  connections: number,
  draining: boolean,
): UpgradeDecision {
  const refusal = refusalOfHandshake(request) ?? refusalOfPolicy(request, policy, connections, draining);
  if (refusal !== undefined) return { kind: "refuse", error: refusal };
  return chooseSubprotocol(request.protocol);
}

function refusalOfHandshake(request: UpgradeRequest): CodedError | undefined {
  if (request.method !== "GET")
    return bad(`method ${quote(request.method)} cannot open a WebSocket: use GET`, 405, { Allow: "GET" });
  if (!hasToken(request.upgrade, "websocket"))
    return bad("this address speaks WebSocket only: send Upgrade: websocket", 426, {
      Upgrade: "websocket",
      "Sec-WebSocket-Version": "13",
    });
  if (request.version !== "13")
    return bad(`Sec-WebSocket-Version ${quote(request.version)} is not spoken here: use 13`, 426, {
      Upgrade: "websocket",
      "Sec-WebSocket-Version": "13",
    });
  if (!/^[A-Za-z0-9+/]{22}==$/.test(request.key))
    return bad("Sec-WebSocket-Key must be 16 bytes in base64", 400);
  return undefined;
}

/** What holds for whoever wants to stay, by WebSocket or not. */
export function refusalOfPolicy(
  request: Pick<UpgradeRequest, "origin" | "host">,
  policy: UpgradePolicy,
  connections: number,
  draining: boolean,
): CodedError | undefined {
  if (!isOriginAllowed(request.origin, request.host, policy.origins)) {
    const text = `pages of origin ${quote(request.origin)} may not connect: add it to origins`;
    return new CodedError("forbidden", text);
  }
  if (draining) return new CodedError("unavailable", "the server is going away", policy.retryMs);
  if (connections >= policy.connectionsMax)
    return new CodedError(
      "unavailable",
      `the server is full: ${policy.connectionsMax} connections`,
      policy.retryMs,
    );
  return undefined;
}

/** The first offered sub-protocol that is known; refused where only unknown ones are offered. */
function chooseSubprotocol(header: string): UpgradeDecision {
  // Browsers have no other place outside of the URL for a token; such an item names no protocol.
  const offered = tokensOf(header).filter((item) => !item.startsWith("token."));
  for (const item of offered) {
    const known = SUBPROTOCOLS.find((name) => name === item);
    if (known !== undefined) return { kind: "accept", subprotocol: known, header: known };
  }
  if (offered.length === 0) return { kind: "accept", subprotocol: "fanwire.v1", header: "" };
  const spoken = SUBPROTOCOLS.join(" or ");
  const text = `sub-protocol ${quote(offered.join(", "))} is not spoken here: offer ${spoken}, or none`;
  return { kind: "refuse", error: new CodedError("bad_request", text) };
}

/** Whether pages of this origin may connect. See {@link UpgradePolicy.origins}. */
export function isOriginAllowed(origin: string, host: string, origins: readonly string[]): boolean {
  if (origin === "" || origins.includes("*")) return true;
  const page = parseUrl(origin);
  if (page === undefined) return false;
  // The page's scheme decides which port may be left out of `Host`.
  if (origins.length === 0) return parseUrl(`${page.protocol}//${host}`)?.host === page.host;
  return origins.some((item) => {
    const allowed = parseUrl(item);
    // Not `URL.origin`: it is "null" for every scheme but the web's own, and "null" equals "null".
    return allowed !== undefined && allowed.protocol === page.protocol && allowed.host === page.host;
  });
}

function parseUrl(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined;
}

function hasToken(header: string, token: string): boolean {
  return tokensOf(header).some((item) => item.toLowerCase() === token);
}

function tokensOf(header: string): string[] {
  return header
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
}

function bad(message: string, status: number, headers: Readonly<Record<string, string>> = {}): HttpError {
  return new HttpError(status, "bad_request", message, headers);
}

/** What a client sent, short enough for an error text. */
function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}
