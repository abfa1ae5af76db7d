import type { Counters } from "../core/counters.js";
import { readHistory } from "../core/history.js";
import type { Broker, HistoryFrom } from "../core/ports.js";
import type { SettingsOf } from "../core/settings.js";
import { parseId } from "../protocol/batch.js";
import { CodedError, toCodedError } from "../protocol/errors.js";
import type { Position } from "../protocol/frames.js";
import { parseRoom, type RoomName } from "../protocol/room-name.js";
import type { Config } from "./config.js";
import { createKeyCheck } from "./http-auth.js";
import { type AnswerFormat, answerFormatOf, bodyKindOf, JSON_FORMAT, notAcceptable } from "./http-format.js";
import { encodePage } from "./http-page.js";
import { type BatchItem, batchOfBody, dataOfBody, keyOfHeader } from "./http-publish.js";
import { type PageQuery, parsePageQuery } from "./http-query.js";
import { bytesReply, errorBody, errorReply, HttpError, valueReply } from "./http-reply.js";
import type { HttpHandler, HttpReply, HttpRequest } from "./http-types.js";

/** What `GET /healthz` tells: 200 where `ok`, else 503. */
export interface Health {
  readonly ok: boolean;
  readonly [detail: string]: unknown;
}

export interface HttpApiOptions {
  readonly broker: Broker;
  readonly settingsOf: SettingsOf;
  readonly config: Pick<Config, "limits" | "apiKeys">;
  /** `published` and `publishErrors` count here too. */
  readonly counters: Counters;
  readonly version: string;
  readonly health: () => Health;
  /** Called for every request that writes, once its key was found valid. @throws CodedError `rate_limited` */
  readonly checkRate?: (authorization: string | undefined) => void;
  /** Told what was thrown that is no coded error: a bug. Must not throw. */
  readonly onFault: (cause: unknown, request: HttpRequest) => void;
}

/** Messages of a batch that are handed to the broker before sockets are served again. */
const BATCH_SLICE = 256;

/** One request that was routed and let through. */
interface Call {
  readonly request: HttpRequest;
  readonly format: AnswerFormat;
}

interface Route {
  readonly method: "GET" | "POST";
  /** Needs an API key as soon as one is configured. */
  readonly writes: boolean;
  readonly answer: (call: Call) => Promise<HttpReply>;
}

/** The HTTP API as one function; whatever is wrong is answered with a coded error, and it never rejects. */
export function createHttpApi(options: HttpApiOptions): HttpHandler {
  const api = new HttpApi(options);
  return (request) => api.handle(request);
}

class HttpApi {
  readonly #options: HttpApiOptions;
  readonly #checkKey: (authorization: string | undefined) => void;

  constructor(options: HttpApiOptions) {
    this.#options = options;
    this.#checkKey = createKeyCheck(options.config.apiKeys);
  }

  async handle(request: HttpRequest): Promise<HttpReply> {
    const accepted = answerFormatOf(request.headers);
    const format = accepted ?? JSON_FORMAT;
    try {
      const route = this.#route(request);
      if (accepted === undefined) throw notAcceptable();
      if (route.writes) this.#admit(request.headers.get("authorization"));
      return await route.answer({ request, format });
    } catch (cause) {
      return errorReply(format, this.#coded(cause, request));
    }
  }

  #admit(authorization: string | undefined): void {
    this.#checkKey(authorization);
    this.#options.checkRate?.(authorization);
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
      return [{ method: "GET", writes: false, answer: async (call) => this.#health(call) }];
    if (path === "/v1/messages")
      return [{ method: "POST", writes: true, answer: (call) => this.#batch(call) }];
    const [, segment = "", tail] = /^\/v1\/rooms\/([^/]*)\/(messages|state)$/.exec(path) ?? [];
    if (tail === undefined) return [];
    // Parsed when the route answers, so that a wrong method is told before a wrong name.
    const room = () => roomOf(segment);
    if (tail === "state")
      return [{ method: "GET", writes: false, answer: (call) => this.#state(call, room()) }];
    return [
      { method: "GET", writes: false, answer: (call) => this.#history(call, room()) },
      { method: "POST", writes: true, answer: (call) => this.#publish(call, room()) },
    ];
  }

  #health({ format }: Call): HttpReply {
    const { ok, ...details } = this.#options.health();
    const body = { status: ok ? "ok" : "unavailable", version: this.#options.version, ...details };
    return valueReply(format, body, ok ? 200 : 503);
  }

  async #publish({ request, format }: Call, room: RoomName): Promise<HttpReply> {
    const { limits } = this.#options.config;
    const { headers, body } = request;
    const key = keyOfHeader(headers.get("fanwire-key"), limits.keyBytes);
    const id = parseId(headers.get("idempotency-key"));
    const data = dataOfBody(bodyKindOf(headers), body, limits);
    const outcome = await this.#store({ room, data, key, id }, request);
    if (outcome instanceof CodedError) throw outcome;
    return valueReply(format, outcome);
  }

  async #batch({ request, format }: Call): Promise<HttpReply> {
    const items = batchOfBody(bodyKindOf(request.headers), request.body, this.#options.config.limits);
    const results: object[] = [];
    for (let at = 0; at < items.length; at += BATCH_SLICE) {
      if (at > 0) await new Promise((resolve) => setImmediate(resolve));
      // Handed over in order and waited for together: the broker keeps the order of calls.
      const slice = items.slice(at, at + BATCH_SLICE).map((item) => this.#store(item, request));
      for (const outcome of await Promise.all(slice))
        results.push(outcome instanceof CodedError ? errorBody(outcome) : outcome);
    }
    return valueReply(format, results);
  }

  async #store(item: BatchItem, request: HttpRequest): Promise<Position | CodedError> {
    const { broker, counters } = this.#options;
    try {
      if (item instanceof CodedError) throw item;
      const { epoch, offset } = await broker.publish(item);
      counters.published += 1;
      return { epoch, offset };
    } catch (cause) {
      counters.publishErrors += 1;
      return this.#coded(cause, request);
    }
  }

  #coded(cause: unknown, request: HttpRequest): CodedError {
    if (!(cause instanceof CodedError)) this.#options.onFault(cause, request);
    return toCodedError(cause);
  }

  async #history({ request, format }: Call, room: RoomName): Promise<HttpReply> {
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
  async #state({ request, format }: Call, room: RoomName): Promise<HttpReply> {
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
