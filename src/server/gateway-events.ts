import type { CodedError } from "../protocol/errors.js";
import { jsonWire } from "../protocol/wire.js";
import type { AddressKey } from "./address.js";
import type { KnockRequest } from "./auth/door.js";
import { planOf } from "./events/event-plan.js";
import { EventStream, type StreamResponse } from "./events/event-stream.js";
import { EventStreams } from "./events/event-streams.js";
import { Connection } from "./gateway-socket.js";
import { HttpError } from "./http-reply.js";

export const EVENTS_PATH = "/v1/events";

/** What of a uWebSockets.js request is used; valid during the handler only. "" where a header is missing. */
export type EventsRequest = KnockRequest & { getCaseSensitiveMethod(): string };

export interface EventsOptions {
  readonly bufferBytes: number;
  /** Headers of every reply. */
  readonly common: Readonly<Record<string, string>>;
  /** A stream is over. */
  readonly closed: (connection: Connection, code: number) => void;
}

/** Server-sent events: each stream is a {@link Connection} like a WebSocket's, with an {@link EventStream} for its socket. */
export class GatewayEvents {
  readonly #options: EventsOptions;
  readonly #streams = new EventStreams();
  readonly #encoder = new TextEncoder();

  constructor(options: EventsOptions) {
    this.#options = options;
  }

  /** To all who joined the topic. */
  publish(topic: string, frame: Uint8Array): void {
    if (this.#streams.size > 0) this.#streams.publish(topic, frame);
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
    const { bufferBytes, common, closed } = this.#options;
    if (req.getCaseSensitiveMethod() !== "GET") throw notGet();
    const plan = planOf(req.getQuery() ?? "", req.getHeader("last-event-id"));
    const connection = new Connection(jsonWire, bufferBytes, caller);
    const origin = req.getHeader("origin");
    // Pages that may not were refused before.
    const cors = origin === "" ? {} : { "access-control-allow-origin": origin, vary: "origin" };
    const streams = this.#streams;
    const stream: EventStream = new EventStream(
      res,
      {
        plan,
        headers: { ...common, ...cors },
        bufferBytes,
        owner: {
          ask: (request) => connection.session?.receive(this.#encoder.encode(request), performance.now()),
          join: (one, topic) => streams.join(one, topic),
          leave: (one, topic) => streams.leave(one, topic),
          dropped: () => connection.session?.dropped(),
          drained: () => connection.session?.drained(),
          closed: (code) => {
            streams.delete(stream);
            closed(connection, code);
          },
        },
      },
      performance.now(),
    );
    streams.add(stream);
    return { connection, stream };
  }
}

export interface OpenedStream {
  readonly connection: Connection;
  readonly stream: EventStream;
}

function notGet(): CodedError {
  return new HttpError(405, "bad_request", "events are read with GET", { Allow: "GET" });
}
