import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import type { ApiKeys } from "../server/auth/api-keys.js";
import { portError } from "../server/gateway-port.js";
import { HttpError } from "../server/http-reply.js";
import type { HttpReply } from "../server/http-types.js";
import { loadPages, type Pages } from "../server/static-files.js";
import { AdminDoor } from "./admin-door.js";
import { type AdminNode, type Answer, routeOf } from "./admin-routes.js";
import type { Ops } from "./ops.js";
import { refuse } from "./ops-feed.js";

export type { AdminNode } from "./admin-routes.js";

export interface AdminOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /**
   * As they are now. Draining needs one of these with `admin` as `Authorization: Bearer KEY`, and where other machines reach
   * the port, all but `/livez` and `/readyz` needs one. None: everybody who reaches the port may.
   */
  readonly apiKeys: () => ApiKeys;
  /** Whether rooms need tokens now: what tells of them needs a key with `admin` then. Default: they do not. */
  readonly asksTokens?: () => boolean;
  readonly node: AdminNode;
  /** Feeds the operators' page. Default: there is no page. */
  readonly ops?: Ops;
}

export interface Admin {
  readonly url: string;
  close(): Promise<void>;
}

/** Few and short: nobody but probes and operators asks here. */
const REQUEST_MS = 5_000;
const CONNECTIONS_MAX = 256;
const PAGE_FOLDER = fileURLToPath(new URL("../ops-page/", import.meta.url));
const NO_PAGES: Pages = () => undefined;
const NO_BODY = new Uint8Array();

/**
 * The admin port: `GET /livez` (200 as long as the supervisor runs), `GET /readyz` (200, or 503 with the reasons),
 * `GET /metrics` (Prometheus), `GET /v1/node`, `POST /v1/drain` (202); and the operators' page at `/`, which follows
 * rooms about the node at `/ws` and asks for rooms of its users below `/v1/ops`. Errors are `{"error": {"code", "message"}}`.
 * @throws Error where it cannot listen, saying why and what to do.
 */
export async function startAdmin(options: AdminOptions): Promise<Admin> {
  const { host, port, ops } = options;
  // A node whose page was not built is a node all the same.
  const pages = ops === undefined ? NO_PAGES : await loadPages(PAGE_FOLDER).catch(() => NO_PAGES);
  const desk = new Desk(options, pages);
  const server = createServer(
    { requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS },
    (request, response) => {
      // Nobody sends a body that matters.
      request.resume();
      void desk.answerTo(request).then((answer) => reply(response, answer));
    },
  );
  if (ops !== undefined) server.on("upgrade", (request, socket, head) => desk.upgrade(request, socket, head));
  server.maxConnections = CONNECTIONS_MAX;
  try {
    server.listen({ host, port });
    await once(server, "listening");
  } catch (cause) {
    await ops?.stop();
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
    throw new Error(`admin port: ${portError(host, port, code).message} (admin.port, FANWIRE_ADMIN_PORT)`);
  }
  const { port: found } = server.address() as AddressInfo;
  const close = async (): Promise<void> => {
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await ops?.stop();
    await closed;
  };
  return { url: `http://${host.includes(":") ? `[${host}]` : host}:${found}`, close };
}

class Desk {
  readonly #node: AdminNode;
  readonly #ops: Ops | undefined;
  readonly #door: AdminDoor;
  readonly #pages: Pages;

  constructor({ host, apiKeys, asksTokens = () => false, node, ops }: AdminOptions, pages: Pages) {
    this.#node = node;
    this.#ops = ops;
    this.#door = new AdminDoor({ host, apiKeys, asksTokens });
    this.#pages = pages;
  }

  /** Never rejects. */
  async answerTo(request: IncomingMessage): Promise<Answer> {
    try {
      return await this.#answer(request);
    } catch (cause) {
      const { status, code, message, headers } = errorOf(cause);
      return { status, headers, body: { error: { code, message } } };
    }
  }

  /** Takes a WebSocket handshake. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    try {
      this.#door.checkNames(request.method, request.headers);
      const [path] = split(request.url);
      if (path !== "/ws") throw new HttpError(403, "forbidden", "WebSockets are at /ws");
      this.#ops?.feed.upgrade(request, socket, head);
    } catch (cause) {
      refuse(socket, 403, errorOf(cause).message);
    }
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    const { headers } = request;
    const method = request.method === "HEAD" ? "GET" : (request.method ?? "");
    const [path, query] = split(request.url);
    const page = this.#page(method, path, headers["if-none-match"]);
    if (page !== undefined) {
      // It tells nothing yet: what it shows is asked for.
      this.#door.checkNames(method, headers);
      return page;
    }
    const { route, segment } = routeOf(path);
    if (method !== route.method)
      throw new HttpError(
        405,
        "bad_request",
        `${request.method} is not allowed here; allowed is ${route.method}`,
        { allow: route.method },
      );
    this.#door.check(method, headers, route.needs);
    const { authorization } = headers;
    const mayLook = (): boolean => this.#mayLook(authorization);
    const [node, ops] = [this.#node, this.#ops];
    return await route.answer({
      node,
      ops,
      query,
      authorization,
      mayLook,
      drainNeedsKey: this.#door.hasKeys,
      segment,
    });
  }

  #page(method: string, path: string, known: string | undefined): HttpReply | undefined {
    const headers = new Map(known === undefined ? [] : [["if-none-match", known]]);
    return this.#pages({ method, path, query: "", headers, body: NO_BODY });
  }

  #mayLook(authorization: string | undefined): boolean {
    try {
      this.#door.checkRight(authorization, "looker");
      return true;
    } catch {
      return false;
    }
  }
}

function errorOf(cause: unknown): HttpError {
  return cause instanceof HttpError ? cause : new HttpError(500, "internal", "the admin port failed");
}

/** Path and query. */
function split(url = ""): readonly [string, string] {
  const [path = "", query = ""] = url.split("?", 2);
  return [path, query];
}

function reply(response: ServerResponse, { status, body, headers }: Answer): void {
  const bytes = typeof body === "string" || body instanceof Uint8Array ? body : `${JSON.stringify(body)}\n`;
  response.writeHead(status, {
    "content-type": "application/json; charset=utf-8",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    ...headers,
    ...(status !== 304 && { "content-length": Buffer.byteLength(bytes) }),
  });
  response.end(bytes);
}
