import { decode } from "@msgpack/msgpack";
import { type Guard, OPEN_ACCESS } from "../core/access.js";
import type { Counters } from "../core/counters.js";
import { readHistory } from "../core/history.js";
import type { Broker, HistoryFrom } from "../core/ports.js";
import type { View } from "../core/presence/op.js";
import { presencePage } from "../core/presence/page.js";
import type { SettingsOf } from "../core/settings.js";
import { parseId } from "../protocol/batch.js";
import { CodedError, toCodedError } from "../protocol/errors.js";
import type { Position } from "../protocol/frames.js";
import { parseRoom, type RoomName } from "../protocol/room-name.js";
import { jsonable } from "../protocol/transcode.js";
import type { Config } from "./config.js";
import { type Caller, HttpAuth, type HttpAuthOptions, whyNot } from "./http-auth.js";
import { type AnswerFormat, answerFormatOf, bodyKindOf, JSON_FORMAT, notAcceptable } from "./http-format.js";
import { encodePage } from "./http-page.js";
import { type BatchItem, batchOfBody, dataOfBody, keyOfHeader } from "./http-publish.js";
import { type PageQuery, parsePageQuery, parsePresenceQuery, parseRoomsQuery } from "./http-query.js";
import { bytesReply, errorBody, errorReply, HttpError, valueReply } from "./http-reply.js";
import { listRooms } from "./http-rooms.js";
import type { HttpHandler, HttpReply, HttpRequest } from "./http-types.js";

/** What `GET /healthz` tells: 200 where `ok`, else 503. */
export interface Health {
  readonly ok: boolean;
  readonly [detail: string]: unknown;
}

export interface HttpApiOptions {
  readonly broker: Broker;
  readonly settingsOf: SettingsOf;
  readonly config: Pick<Config, "limits">;
  readonly auth: HttpAuthOptions;
  /** Asked about every publish, of whoever it is. */
  readonly guard: Pick<Guard, "publish">;
  /** Makes the tokens void that a decoded body names; resolves once all of this node know. Rejects with a CodedError. */
  readonly revoke: (body: unknown) => Promise<void>;
  /** `published` and `publishErrors` count here too. */
  readonly counters: Counters;
  /** Who is in a room whose namespace has presence. Rejects or throws a CodedError where that cannot be found out. */
  readonly occupants: (room: RoomName) => Promise<View>;
  readonly version: string;
  readonly health: () => Health;
  /** Called for every request once it is known whose it is. @throws CodedError `rate_limited` */
  readonly checkRate?: (caller: Caller, writes: boolean) => void;
  /** Told what was thrown that is no coded error: a bug. Must not throw. */
  readonly onFault: (cause: unknown, request: HttpRequest) => void;
}

/** Messages of a batch that are handed to the broker before sockets are served again. */
const BATCH_SLICE = 256;

/** One request that was routed and let through. */
interface Call {
  readonly request: HttpRequest;
  readonly caller: Caller;
  readonly format: AnswerFormat;
}

interface Route {
  readonly method: "GET" | "POST";
  /** What it needs: nothing, or whoever may read or write there. */
  readonly needs: "nothing" | "reader" | "writer";
  readonly answer: (call: Call) => Promise<HttpReply>;
}

/** Of requests that everybody may make. */
const NOBODY: Caller = {
  by: "nothing",
  apiKey: undefined,
  admin: false,
  id: "",
  access: { ...OPEN_ACCESS, rights: { allows: () => false, allowsPattern: () => false } },
};

/** The HTTP API as one function; whatever is wrong is answered with a coded error, and it never rejects. */
export function createHttpApi(options: HttpApiOptions): HttpHandler {
  const api = new HttpApi(options);
  return (request) => api.handle(request);
}

class HttpApi {
  readonly #options: HttpApiOptions;
  readonly #auth: HttpAuth;

  constructor(options: HttpApiOptions) {
    this.#options = options;
    this.#auth = new HttpAuth(options.auth);
  }

  async handle(request: HttpRequest): Promise<HttpReply> {
    const accepted = answerFormatOf(request.headers);
    const format = accepted ?? JSON_FORMAT;
    try {
      const route = this.#route(request);
      if (accepted === undefined) throw notAcceptable();
      const writes = route.needs === "writer";
      const caller = route.needs === "nothing" ? NOBODY : await this.#auth.callerOf(request, writes);
      this.#options.checkRate?.(caller, writes);
      return await route.answer({ request, format, caller });
    } catch (cause) {
      return errorReply(format, this.#coded(cause, request));
    }
  }

  #route({ method, path }: HttpRequest): Route {
    const routes = this.#routesOf(path);
    if (routes.length === 0)
      throw new HttpError(404, "bad_request", `nothing is at ${JSON.stringify(path.slice(0, 200))}`);
    const route = routes.find((candidate) => candidate.method === method);
    if (route !== undefined) return route;
    const allow = routes
      .map((candidate) => (candidate.method === "GET" ? "GET, HEAD" : candidate.method))
      .join(", ");
    throw new HttpError(405, "bad_request", `${method} is not allowed here; allowed are ${allow}`, { allow });
  }

  #routesOf(path: string): readonly Route[] {
    if (path === "/healthz")
      return [{ method: "GET", needs: "nothing", answer: async (call) => this.#health(call) }];
    if (path === "/v1/messages")
      return [{ method: "POST", needs: "writer", answer: (call) => this.#batch(call) }];
    if (path === "/v1/rooms")
      return [{ method: "GET", needs: "reader", answer: (call) => this.#rooms(call) }];
    if (path === "/v1/revocations" && this.#options.auth.authority !== undefined)
      return [{ method: "POST", needs: "writer", answer: (call) => this.#revoke(call) }];
    const [, segment = "", tail] = /^\/v1\/rooms\/([^/]*)\/(messages|state|presence)$/.exec(path) ?? [];
    if (tail === undefined) return [];
    // Parsed when the route answers, so that a wrong method is told before a wrong name.
    const room = () => roomOf(segment);
    if (tail === "presence")
      return [{ method: "GET", needs: "reader", answer: (call) => this.#presence(call, room()) }];
    if (tail === "state")
      return [{ method: "GET", needs: "reader", answer: (call) => this.#state(call, room()) }];
    return [
      { method: "GET", needs: "reader", answer: (call) => this.#history(call, room()) },
      { method: "POST", needs: "writer", answer: (call) => this.#publish(call, room()) },
    ];
  }

  #health({ format }: Call): HttpReply {
    const { ok, ...details } = this.#options.health();
    const body = { status: ok ? "ok" : "unavailable", version: this.#options.version, ...details };
    return valueReply(format, body, ok ? 200 : 503);
  }

  /** Keys of backends only: a token that could void others would be a weapon in a client's hand. */
  async #revoke({ request, format, caller }: Call): Promise<HttpReply> {
    if (!caller.admin) throw new CodedError("forbidden", "revoking needs an API key with admin");
    const { config, revoke } = this.#options;
    await revoke(decode(dataOfBody(bodyKindOf(request.headers), request.body, config.limits)));
    return valueReply(format, { revoked: true });
  }

  async #publish({ request, format, caller }: Call, room: RoomName): Promise<HttpReply> {
    const refusal = this.#whyNotPublish(caller, room);
    if (refusal !== undefined) throw refusal;
    const { limits } = this.#options.config;
    const { headers, body } = request;
    const item = this.#parsed(() => ({
      room,
      key: keyOfHeader(headers.get("fanwire-key"), limits.keyBytes),
      id: parseId(headers.get("idempotency-key")),
      data: dataOfBody(bodyKindOf(headers), body, limits),
    }));
    const outcome = await this.#store(item, request, caller);
    if (outcome instanceof CodedError) throw outcome;
    return valueReply(format, outcome);
  }

  async #batch({ request, format, caller }: Call): Promise<HttpReply> {
    const { headers, body } = request;
    const items = this.#parsed(() => batchOfBody(bodyKindOf(headers), body, this.#options.config.limits));
    const results: object[] = [];
    for (let at = 0; at < items.length; at += BATCH_SLICE) {
      if (at > 0) await new Promise((resolve) => setImmediate(resolve));
      // Handed over in order and waited for together: the broker keeps the order of calls.
      const slice = items.slice(at, at + BATCH_SLICE).map((item) => this.#store(item, request, caller));
      for (const outcome of await Promise.all(slice))
        results.push(outcome instanceof CodedError ? errorBody(outcome) : outcome);
    }
    return valueReply(format, results);
  }

  async #store(item: BatchItem, request: HttpRequest, caller: Caller): Promise<Position | CodedError> {
    const { broker, counters, guard } = this.#options;
    try {
      if (item instanceof CodedError) throw item;
      const refusal = this.#whyNotPublish(caller, item.room);
      if (refusal !== undefined) throw refusal;
      const allowed = guard.publish === undefined ? item : await guard.publish(caller, item);
      const { epoch, offset } = await broker.publish(allowed);
      counters.published += 1;
      return { epoch, offset };
    } catch (cause) {
      counters.publishErrors += 1;
      return this.#coded(cause, request);
    }
  }

  /** What is wrong with a body is a publish that was refused. */
  #parsed<T>(parse: () => T): T {
    try {
      return parse();
    } catch (cause) {
      this.#options.counters.publishErrors += 1;
      throw cause;
    }
  }

  /** Whoever has no more than a token is a client, whichever way it comes. */
  #whyNotPublish(caller: Caller, room: RoomName): CodedError | undefined {
    const { auth, settingsOf } = this.#options;
    const refusal = whyNot(caller, "publish", room);
    if (refusal !== undefined || caller.by === "key" || auth.authority === undefined) return refusal;
    const { publish, key } = settingsOf(room);
    if (publish !== "client")
      return new CodedError("forbidden", `room ${room} takes messages of API keys only`);
    if (key !== "sender") return undefined;
    // Over HTTP nobody is connected: the key could be anybody's, and would stay.
    const text = `keys of room ${room} are its senders', whom HTTP does not know: publish over a WebSocket, or with an API key`;
    return new CodedError("forbidden", text);
  }

  async #presence({ request, format, caller }: Call, room: RoomName): Promise<HttpReply> {
    const refusal = whyNot(caller, "members", room);
    if (refusal !== undefined) throw refusal;
    const options = parsePresenceQuery(request.query);
    if (this.#options.settingsOf(room).presence === "off")
      throw new CodedError("bad_request", `the namespace of room ${room} has no presence`);
    const page = presencePage(await this.#options.occupants(room), options);
    return valueReply(format, format.kind === "json" ? jsonable(page) : page);
  }

  async #rooms({ request, format, caller }: Call): Promise<HttpReply> {
    const { rights } = caller.access;
    const query = parseRoomsQuery(request.query);
    return valueReply(format, await listRooms(this.#options.broker, query, rights));
  }

  #coded(cause: unknown, request: HttpRequest): CodedError {
    if (!(cause instanceof CodedError)) this.#options.onFault(cause, request);
    return toCodedError(cause);
  }

  async #history({ request, format, caller }: Call, room: RoomName): Promise<HttpReply> {
    const refusal = whyNot(caller, "history", room);
    if (refusal !== undefined) throw refusal;
    const { broker, config, settingsOf } = this.#options;
    const query = parsePageQuery(request.query, ["after", "last", "limit"], config.limits.historyMessages);
    if (settingsOf(room).ephemeral)
      throw new CodedError("bad_request", `room ${room} is ephemeral and keeps no history`);
    const { epoch, messages, more, lost } = await readHistory(
      broker,
      room,
      fromOf(query),
      query.last ?? query.limit,
    );
    return bytesReply(format, encodePage(format.kind, { head: { epoch, lost }, messages, more }));
  }

  /**
   * The latest message of every key, in offset order. It is paged as history is: a key that is published meanwhile
   * has moved behind every page that was read, so that reading on after the last message never misses it.
   */
  async #state({ request, format, caller }: Call, room: RoomName): Promise<HttpReply> {
    const refusal = whyNot(caller, "history", room);
    if (refusal !== undefined) throw refusal;
    const { broker, config, settingsOf } = this.#options;
    const { after, limit } = parsePageQuery(request.query, ["after", "limit"], config.limits.historyMessages);
    if (!settingsOf(room).state)
      throw new CodedError("bad_request", `the namespace of room ${room} keeps no state`);
    const { head, messages, droppedKeys } = await broker.state(room);
    const lost =
      after !== undefined && (after.epoch !== head.epoch || after.offset > head.offset) ? "epoch" : undefined;
    const from = lost === undefined ? (after?.offset ?? 0) : 0;
    const rest = messages.filter((message) => message.offset > from);
    const page = {
      head: {
        epoch: head.epoch,
        offset: head.offset,
        lost,
        droppedKeys: droppedKeys > 0 ? droppedKeys : undefined,
      },
      messages: rest.slice(0, limit),
      more: rest.length > limit,
    };
    return bytesReply(format, encodePage(format.kind, page));
  }
}

function roomOf(segment: string): RoomName {
  try {
    return parseRoom(decodeURIComponent(segment));
  } catch (cause) {
    throw cause instanceof CodedError
      ? cause
      : new CodedError("room_invalid", "the room is not percent-encoded UTF-8");
  }
}

function fromOf({ after, last }: PageQuery): HistoryFrom {
  if (last !== undefined) return { last };
  return after === undefined ? "oldest" : { after };
}
