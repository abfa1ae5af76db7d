import type { CodedError } from "../protocol/errors.js";
import { jsonWire, msgpackWire } from "../protocol/wire.js";
import type { AddressKey } from "./address.js";
import type { KnockRequest } from "./auth/door.js";
import { planOf } from "./events/event-plan.js";
import type { StreamResponse } from "./events/event-response.js";
import { EventStream } from "./events/event-stream.js";
import { EventStreams, type Stream, type StreamOwner } from "./events/event-streams.js";
import { FrameStream } from "./events/frame-stream.js";
import { Connection } from "./gateway-socket.js";
import { bodyKindOf } from "./http-format.js";
import { HttpError } from "./http-reply.js";

export const EVENTS_PATH = "/v1/events";

/** What of a uWebSockets.js request is used; valid during the handler only. "" where a header is missing. */
export type EventsRequest = KnockRequest & { getCaseSensitiveMethod(): string };

export interface EventsOptions {
  readonly bufferBytes: number;
  /** Of one message to a session. */
  readonly payloadBytes: number;
  /** Headers of the answer to a request. */
  readonly headersFor: (req: EventsRequest) => Readonly<Record<string, string>>;
  /** Requests of a stream, as one WebSocket message. Must not throw. */
  readonly receive: (connection: Connection, message: ArrayBuffer, isBinary: boolean) => void;
  /** A stream is refused for what is wrong with its requests. */
  readonly refused: () => void;
  /** A stream is over. */
  readonly closed: (connection: Connection, code: number) => void;
}

/**
 * Server-sent events: each stream is a {@link Connection} like a WebSocket's, with an {@link EventStream} for its socket where it was asked for with
 * GET, a {@link FrameStream} where it was with POST.
 */
export class GatewayEvents {
  readonly #options: EventsOptions;
  readonly #streams = new EventStreams();
  readonly #encoder = new TextEncoder();

  constructor(options: EventsOptions) {
    this.#options = options;
  }

  /** To all who joined the topic. */
  publish(topic: string, frame: Uint8Array, isBinary: boolean): void {
    if (this.#streams.size > 0) this.#streams.publish(topic, frame, isBinary);
  }

  /** About once a second. */
  sweep(nowMs: number): void {
    this.#streams.sweep(nowMs);
  }

  /**
   * A stream by its request, not open yet. Whoever asked is let in already.
   * @throws CodedError `bad_request` or `room_invalid`
   */
  open(res: StreamResponse, req: EventsRequest, caller: AddressKey | undefined): OpenedStream {
    const method = req.getCaseSensitiveMethod();
    if (method === "POST") return this.#openFrames(res, req, caller);
    if (method !== "GET") throw notAllowed(method);
    const plan = planOf(req.getQuery() ?? "", req.getHeader("last-event-id"));
    const { bufferBytes } = this.#options;
    const headers = this.#options.headersFor(req);
    return this.#add(
      new Connection(jsonWire, bufferBytes, caller),
      (owner) => new EventStream(res, { plan, headers, bufferBytes, owner }, performance.now()),
    );
  }

  /** A page of another origin cannot send such a body without being asked about first. */
  #openFrames(res: StreamResponse, req: EventsRequest, caller: AddressKey | undefined): OpenedStream {
    const isBinary = bodyKindOf(contentHeaders(req)) === "msgpack";
    const { bufferBytes, payloadBytes } = this.#options;
    const headers = this.#options.headersFor(req);
    return this.#add(
      new Connection(isBinary ? msgpackWire : jsonWire, bufferBytes, caller),
      (owner) =>
        new FrameStream(res, { isBinary, headers, bufferBytes, payloadBytes, owner }, performance.now()),
    );
  }

  #add(connection: Connection, make: (owner: StreamOwner) => Stream): OpenedStream {
    const { closed, receive, refused } = this.#options;
    const streams = this.#streams;
    const stream = make({
      ask: (requests) => {
        const { isOpen, session } = connection;
        if (!isOpen || session === undefined) return;
        if (typeof requests === "string") session.receive(this.#encoder.encode(requests), performance.now());
        else receive(connection, new Uint8Array(requests).buffer, connection.wire.binary);
      },
      join: (one, topic) => streams.join(one, topic),
      leave: (one, topic) => streams.leave(one, topic),
      dropped: () => connection.session?.dropped(),
      drained: () => connection.session?.drained(),
      refused,
      closed: (code) => {
        streams.delete(stream);
        closed(connection, code);
      },
    });
    streams.add(stream);
    return { connection, stream };
  }
}

export interface OpenedStream {
  readonly connection: Connection;
  readonly stream: Stream;
}

function contentHeaders(req: EventsRequest): ReadonlyMap<string, string> {
  const given = ["content-type", "content-encoding"].map((name) => [name, req.getHeader(name)] as const);
  return new Map(given.filter(([, value]) => value !== ""));
}

function notAllowed(method: string): CodedError {
  const text = `${method} is not allowed here: events are read with GET, or POST for frames`;
  return new HttpError(405, "bad_request", text, { Allow: "GET, POST" });
}
