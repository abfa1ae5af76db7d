import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { ApiKeys } from "../server/auth/api-keys.js";
import { portError } from "../server/gateway-port.js";
import { createKeyCheck, type KeyCheck } from "../server/http-auth.js";
import { HttpError } from "../server/http-reply.js";
import { isLoopbackHost } from "../server/loopback.js";
import { METRICS_TYPE, metricsOf } from "./metrics.js";
import type { NodeStatus } from "./status.js";

/** What the admin port shows and does. */
export interface AdminNode {
  status(): NodeStatus;
  drain(): Promise<void>;
}

export interface AdminOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /**
   * As they are now. Draining needs one of these with `admin` as `Authorization: Bearer KEY`, and where other machines reach
   * the port, all but `/livez` and `/readyz` needs one. None: everybody who reaches the port may.
   */
  readonly apiKeys: () => ApiKeys;
  readonly node: AdminNode;
}

export interface Admin {
  readonly url: string;
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  /** A text is sent as it is, with its `content-type` in the headers; anything else as JSON. */
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

interface Route {
  readonly method: "GET" | "POST";
  /** For probes, which have no key, and tells nothing worth one. */
  readonly isOpen?: boolean;
  readonly answer: (node: AdminNode) => Answer | Promise<Answer>;
}

const ROUTES: ReadonlyMap<string, Route> = new Map<string, Route>([
  ["/livez", { method: "GET", isOpen: true, answer: () => ({ status: 200, body: { live: true } }) }],
  ["/readyz", { method: "GET", isOpen: true, answer: readiness }],
  ["/metrics", { method: "GET", answer: metrics }],
  ["/v1/node", { method: "GET", answer: (node) => ({ status: 200, body: node.status() }) }],
  ["/v1/drain", { method: "POST", answer: drain }],
]);

interface Door {
  readonly checkKey: KeyCheck;
  /** No other machine reaches the port. */
  readonly isLocal: boolean;
}

/** Few and short: nobody but probes and operators asks here. */
const REQUEST_MS = 5_000;
const CONNECTIONS_MAX = 256;

/**
 * The admin port: `GET /livez` (200 as long as the supervisor runs), `GET /readyz` (200, or 503 with the reasons),
 * `GET /metrics` (Prometheus), `GET /v1/node`, `POST /v1/drain` (202). Errors are `{"error": {"code", "message"}}`.
 * @throws Error where it cannot listen, saying why and what to do.
 */
export async function startAdmin({ host, port, apiKeys, node }: AdminOptions): Promise<Admin> {
  const door: Door = { checkKey: createKeyCheck(apiKeys), isLocal: isLoopbackHost(host) };
  const server = createServer(
    { requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS },
    (request, response) => {
      // Nobody sends a body that matters.
      request.resume();
      void answerTo(request, node, door).then((answer) => reply(response, answer));
    },
  );
  server.maxConnections = CONNECTIONS_MAX;
  try {
    server.listen({ host, port });
    await once(server, "listening");
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
    throw new Error(`admin port: ${portError(host, port, code).message} (admin.port, FANWIRE_ADMIN_PORT)`);
  }
  const { port: found } = server.address() as AddressInfo;
  const close = async (): Promise<void> => {
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
  };
  return { url: `http://${host.includes(":") ? `[${host}]` : host}:${found}`, close };
}

/** Never rejects. */
async function answerTo(request: IncomingMessage, node: AdminNode, door: Door): Promise<Answer> {
  try {
    const path = (request.url ?? "").split("?", 1)[0] ?? "";
    const route = ROUTES.get(path);
    if (route === undefined) {
      const known = [...ROUTES.keys()].join(", ");
      throw new HttpError(
        404,
        "bad_request",
        `nothing is at ${JSON.stringify(path.slice(0, 200))}; there are ${known}`,
      );
    }
    const method = request.method === "HEAD" ? "GET" : request.method;
    if (method !== route.method)
      throw new HttpError(
        405,
        "bad_request",
        `${request.method} is not allowed here; allowed is ${route.method}`,
        {
          allow: route.method,
        },
      );
    checkDoor(request, route, door);
    return await route.answer(node);
  } catch (cause) {
    const { status, code, message, headers } =
      cause instanceof HttpError ? cause : new HttpError(500, "internal", "the admin port failed");
    return { status, headers, body: { error: { code, message } } };
  }
}

/** @throws HttpError */
function checkDoor(
  { headers }: IncomingMessage,
  { method, isOpen }: Route,
  { checkKey, isLocal }: Door,
): void {
  // A page in an operator's browser may send a POST anywhere, this port included.
  if (method === "POST" && headers.origin !== undefined)
    throw new HttpError(403, "forbidden", "requests of web pages (with Origin) may not do this");
  // And a page whose name was made to point here may read what it gets.
  if (isLocal && !isLoopbackHost(hostNameOf(headers.host)))
    throw new HttpError(
      403,
      "forbidden",
      "this port is this machine's: Host must be localhost or its address",
    );
  if (method === "POST" || (!isLocal && isOpen !== true))
    checkKey(headers.authorization, method === "POST" ? "admin" : "any key");
}

/** Without the port. */
function hostNameOf(host = ""): string {
  return host
    .replace(/:\d+$/, "")
    .replace(/^\[(.*)\]$/, "$1")
    .toLowerCase();
}

function readiness(node: AdminNode): Answer {
  const { ready, reasons, state } = node.status();
  return { status: ready ? 200 : 503, body: { ready, state, reasons } };
}

async function metrics(node: AdminNode): Promise<Answer> {
  return { status: 200, body: await metricsOf(node.status()), headers: { "content-type": METRICS_TYPE } };
}

function drain(node: AdminNode): Answer {
  void node.drain();
  return { status: 202, body: { state: node.status().state } };
}

function reply(response: ServerResponse, { status, body, headers }: Answer): void {
  const text = typeof body === "string" ? body : `${JSON.stringify(body)}\n`;
  response.writeHead(status, {
    "content-type": "application/json; charset=utf-8",
    "content-length": Buffer.byteLength(text),
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    ...headers,
  });
  response.end(text);
}
