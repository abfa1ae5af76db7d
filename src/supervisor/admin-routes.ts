import { CodedError } from "../protocol/errors.js";
import { parseRoom, type RoomName } from "../protocol/room-name.js";
import { HttpError } from "../server/http-reply.js";
import type { Needs } from "./admin-door.js";
import { METRICS_TYPE, metricsOf } from "./metrics.js";
import type { Ops } from "./ops.js";
import { askWorker } from "./ops-messages.js";
import { TICKET_SECONDS } from "./ops-tickets.js";
import type { NodeStatus } from "./status.js";

/** What the admin port shows and does. */
export interface AdminNode {
  status(): NodeStatus;
  drain(): Promise<void>;
}

export interface Answer {
  readonly status: number;
  /** Texts and bytes are sent as they are, with their `content-type` in the headers; anything else as JSON. */
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One request that was let through. */
export interface Call {
  readonly node: AdminNode;
  readonly ops: Ops | undefined;
  /** Without the `?`. */
  readonly query: string;
  readonly authorization: string | undefined;
  /** Whether its owner may still look. */
  readonly mayLook: () => boolean;
  /** Whether draining needs a key. */
  readonly drainNeedsKey: boolean;
  /** What the path names. */
  readonly segment: string;
}

export interface Route {
  readonly method: "GET" | "POST";
  readonly needs: Needs;
  readonly answer: (call: Call) => Answer | Promise<Answer>;
}

const ROUTES: ReadonlyMap<string, Route> = new Map<string, Route>([
  ["/livez", { method: "GET", needs: "nothing", answer: () => ({ status: 200, body: { live: true } }) }],
  ["/readyz", { method: "GET", needs: "nothing", answer: readiness }],
  ["/metrics", { method: "GET", needs: "reader", answer: metrics }],
  [
    "/v1/node",
    { method: "GET", needs: "reader", answer: ({ node }) => ({ status: 200, body: node.status() }) },
  ],
  ["/v1/drain", { method: "POST", needs: "admin", answer: drain }],
  ["/v1/ops/tickets", { method: "POST", needs: "looker", answer: ticket }],
]);

const ROOM_ROUTES: ReadonlyMap<string, Route> = new Map<string, Route>([
  ["", { method: "GET", needs: "looker", answer: inspect }],
  ["/messages", { method: "GET", needs: "looker", answer: (call) => messages(call, "messages") }],
  ["/state", { method: "GET", needs: "looker", answer: (call) => messages(call, "state") }],
]);

/** The route of a path and what it names. @throws HttpError 404 with the paths that there are. */
export function routeOf(path: string): { readonly route: Route; readonly segment: string } {
  const [, segment = "", tail = ""] = /^\/v1\/ops\/rooms\/([^/]+)(\/messages|\/state)?$/.exec(path) ?? [];
  const route = segment === "" ? ROUTES.get(path) : ROOM_ROUTES.get(tail);
  if (route !== undefined) return { route, segment };
  const known = [...ROUTES.keys(), ...[...ROOM_ROUTES.keys()].map((end) => `/v1/ops/rooms/{room}${end}`)];
  throw new HttpError(
    404,
    "bad_request",
    `nothing is at ${JSON.stringify(path.slice(0, 200))}; there are ${known.join(", ")}`,
  );
}

function readiness({ node }: Call): Answer {
  const { ready, reasons, degraded, state } = node.status();
  return { status: ready ? 200 : 503, body: { ready, state, reasons, degraded } };
}

async function metrics({ node }: Call): Promise<Answer> {
  return { status: 200, body: await metricsOf(node.status()), headers: { "content-type": METRICS_TYPE } };
}

function drain({ node }: Call): Answer {
  void node.drain();
  return { status: 202, body: { state: node.status().state } };
}

function ticket({ ops, mayLook, drainNeedsKey }: Call): Answer {
  const issued = opsOf(ops).feed.tickets.issue(performance.now(), mayLook);
  return { status: 200, body: { ticket: issued, seconds: TICKET_SECONDS, drainNeedsKey } };
}

async function inspect({ ops, segment }: Call): Promise<Answer> {
  return { status: 200, body: await opsOf(ops).inspect(roomOf(segment)) };
}

const MESSAGES_MAX = 100;

/** `?last=N`, default 20; of a state the first so many keys. */
async function messages({ node, segment, query, authorization }: Call, what: string): Promise<Answer> {
  const room = roomOf(segment);
  const last = Number(new URLSearchParams(query).get("last") ?? "20");
  if (!Number.isInteger(last) || last < 1 || last > MESSAGES_MAX)
    throw new HttpError(400, "bad_request", `last is a whole number of 1 to ${MESSAGES_MAX}`);
  const how = what === "state" ? `limit=${last}` : `last=${last}`;
  const path = `/v1/rooms/${encodeURIComponent(room)}/${what}?${how}`;
  const { status, body } = await askWorker(node.status().url, path, authorization);
  return { status, body };
}

function opsOf(ops: Ops | undefined): Ops {
  if (ops !== undefined) return ops;
  throw new HttpError(503, "unavailable", "this port serves no page");
}

/** @throws HttpError 400 */
function roomOf(segment: string): RoomName {
  try {
    return parseRoom(decodeURIComponent(segment));
  } catch (cause) {
    const message = cause instanceof CodedError ? cause.message : "the room is not percent-encoded UTF-8";
    throw new HttpError(400, "room_invalid", message);
  }
}
