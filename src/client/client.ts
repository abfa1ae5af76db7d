import type { Position, Rate, ServerFrame } from "../protocol/frames.js";
import { parseRoom } from "../protocol/room-name.js";
import { hasWildcard, parsePattern } from "../protocol/room-pattern.js";
import { historyPageOf, positionOf, timeOf } from "./answer.js";
import { Connection } from "./connection.js";
import type { Effect, Input, RequestBody, SubscriptionEvent } from "./effect.js";
import { Emitter } from "./emitter.js";
import { coded, FanwireError, textOf } from "./errors.js";
import type { HistoryPage } from "./message.js";
import {
  type ClientOptions,
  type HistoryOptions,
  type PresenceOptions,
  type PublishOptions,
  type StateMapOptions,
  type SubscribeOptions,
  settingsOf,
} from "./options.js";
import { Pacemaker } from "./pacemaker.js";
import { type PresencePage, presencePageOf } from "./presence.js";
import { SocketHolder, socketUrlOf } from "./socket.js";
import type { ConnectionState, SubscriptionState } from "./state.js";
import { StateMap } from "./state-map.js";
import { patternProblem, rateProblem, refuseForPattern, requestOf } from "./subscribe-request.js";
import { RoomSubscription, type Subscription } from "./subscription.js";
import type { Topic } from "./subscription-entry.js";
import { decodeFrames } from "./wire.js";

const LOOP_QUEUE = 10_000;

/** What `client.on` takes. */
export interface ClientEvents {
  state: ConnectionState;
  /** About the connection as a whole; requests and subscriptions have their own. */
  error: FanwireError;
}

/** Data of a room by the client's map of rooms; `T` where the map does not name it. */
export type DataOf<Rooms, R extends string, T> = R extends keyof Rooms ? Rooms[R] : T;

// Methods, not function fields: TypeScript then lets a subscription of any T stand here.
interface Listener {
  readonly room: string;
  readonly state: SubscriptionState;
  handle(event: SubscriptionEvent): void;
  end(): void;
  endLoops(error: FanwireError): void;
}

interface Asker {
  answer(result: unknown): void;
  refuse(error: FanwireError): void;
}

/**
 * A connection to fanwire that mends itself: subscriptions go on behind their last message after every break, what is
 * published meanwhile waits in a bounded queue. `Rooms` maps room names (template patterns too) to their data:
 *
 * ```ts
 * const client = new Client<{ [room: `market.${string}`]: Quote }>("wss://host/ws");
 * client.subscribe("market.quotes", { state: true, onMessage: ({ data }) => draw(data) });
 * ```
 */
export class Client<Rooms extends object = Record<never, never>> {
  readonly #connection: Connection;
  readonly #socket: SocketHolder;
  readonly #pacemaker: Pacemaker;
  readonly #timeoutMs: number;
  readonly #events = new Emitter<ClientEvents>();
  readonly #listeners = new Map<number, Listener>();
  readonly #idByRoom = new Map<string, number>();
  readonly #askers = new Map<number, Asker>();
  readonly #effects: Effect[] = [];
  #running = false;
  #state: ConnectionState;
  #latencyMs: number | undefined;
  /** How far the server's clock is ahead of ours. */
  #clockAheadMs = 0;
  #lastId = 0;

  /**
   * Connects at once, unless told otherwise. `url` may be ws, wss, http or https, and relative in a browser.
   * @throws FanwireError `bad_request`: a URL or option that cannot be, or no WebSocket class to be found.
   */
  constructor(url: string | URL, options: ClientOptions = {}) {
    const settings = settingsOf(options);
    this.#timeoutMs = settings.timeoutMs;
    this.#connection = new Connection(settings, Math.random);
    this.#state = this.#connection.state;
    this.#socket = new SocketHolder(socketUrlOf(url), options, settings, {
      via: (transport) => this.#step({ kind: "via", transport }),
      resubscribe: () => this.#step({ kind: "resubscribe" }),
      received: (payload) => this.#received(payload),
      closed: (code, reason) => this.#step({ kind: "closed", code, reason }),
    });
    this.#pacemaker = new Pacemaker((input) => this.#step(input));
    if (options.autoConnect ?? true) this.connect();
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Round trip of the last ping; undefined before the first. */
  get latencyMs(): number | undefined {
    return this.#latencyMs;
  }

  /** Milliseconds since 1970 by the server's clock, as the last ping told it: within half a round trip. This host's before. */
  get serverTimeMs(): number {
    return Date.now() + this.#clockAheadMs;
  }

  /** Returns what takes the handler off again. */
  on<E extends keyof ClientEvents>(event: E, handler: (value: ClientEvents[E]) => void): () => void {
    return this.#events.on(event, handler);
  }

  /** From `idle`, `waiting` or `closed`: connects now. Subscriptions go on where they stood. */
  connect(): void {
    this.#pacemaker.watch();
    this.#step({ kind: "connect" });
  }

  /** Leaves the server until `connect()`, keeping subscriptions and what waits to be sent. */
  disconnect(): void {
    this.#step({ kind: "disconnect" });
  }

  /** Ends everything: subscriptions end, requests reject with `closed`. Idempotent. */
  close(): void {
    const listeners = [...this.#listeners.values()];
    this.#listeners.clear();
    this.#idByRoom.clear();
    this.#step({ kind: "close" });
    this.#pacemaker.unwatch();
    for (const listener of listeners) listener.end();
  }

  /**
   * Follows a room, through every reconnect until it is ended. All subscribes of one turn go out as one request.
   *
   * Or all rooms that a pattern means (`telemetry.*.temp`, `telemetry.>`): live only, each message once and under its room's
   * name, and `reset` before whatever comes after a hole: after every reconnect, too. A room that is subscribed to by its
   * name as well comes there, and not here.
   * @throws FanwireError `room_invalid`; `bad_request` where options contradict each other or the room is subscribed
   *   already (one subscription a room and client: share it).
   */
  subscribe<T = unknown, const R extends string = string>(
    room: R,
    options: SubscribeOptions<DataOf<Rooms, R, T>> = {},
  ): Subscription<DataOf<Rooms, R, T>> {
    const isPattern = hasWildcard(room);
    const name: Topic = coded(() => (isPattern ? parsePattern(room) : parseRoom(room)));
    const request = requestOf(options);
    if (isPattern) refuseForPattern(room, request);
    this.#refuseSecond(room);
    const id = ++this.#lastId;
    const subscription = new RoomSubscription<DataOf<Rooms, R, T>>(
      room,
      options.after,
      options.queue ?? LOOP_QUEUE,
      {
        leave: () => this.#leave(id),
        setRate: (rate) => this.#setRate(id, rate),
        serverTimeMs: () => this.serverTimeMs,
      },
    );
    if (options.onMessage !== undefined) subscription.on("message", options.onMessage);
    this.#listeners.set(id, subscription);
    this.#idByRoom.set(room, id);
    this.#step({ kind: "subscribe", id, room: name, request });
    return subscription;
  }

  /**
   * Follows the latest message of every key of a room, as a Map that stays up to date. Options and errors are those of
   * {@link Client.subscribe}; a `rate` suits a view.
   *
   * ```ts
   * const board = client.stateMap("market.quotes", { rate: 10 });
   * board.on("changes", (symbols) => draw(board, symbols));
   * ```
   */
  stateMap<T = unknown, const R extends string = string>(
    room: R,
    options: StateMapOptions<DataOf<Rooms, R, T>> = {},
  ): StateMap<DataOf<Rooms, R, T>> {
    return new StateMap(this.subscribe<T, R>(room, { ...options, state: true }));
  }

  /**
   * Resolves with the position once the broker has stored it. Waits for a connection in the bounded queue.
   * Rejects with a FanwireError; where its `maybeDone` is true the message may have been stored all the same.
   */
  async publish<const R extends string>(
    room: R,
    data: DataOf<Rooms, R, unknown>,
    options: PublishOptions = {},
  ): Promise<Position> {
    const name = coded(() => parseRoom(room));
    const body: RequestBody = { type: "publish", room: name, data, key: options.key };
    return this.#ask(body, options.timeoutMs, positionOf);
  }

  /** A page of the room's past, oldest first. */
  async history<T = unknown, const R extends string = string>(
    room: R,
    { after, limit, timeoutMs }: HistoryOptions = {},
  ): Promise<HistoryPage<DataOf<Rooms, R, T>>> {
    const name = coded(() => parseRoom(room));
    const options = { ...(after !== undefined && { after }), ...(limit !== undefined && { limit }) };
    const read = (raw: unknown): HistoryPage<DataOf<Rooms, R, T>> | undefined =>
      historyPageOf<DataOf<Rooms, R, T>>(room, after, raw);
    return this.#ask({ type: "history", room: name, options }, timeoutMs, read);
  }

  /** Who is in a room, without subscribing to it. */
  async presence(room: string, { after, limit, timeoutMs }: PresenceOptions = {}): Promise<PresencePage> {
    const name = coded(() => parseRoom(room));
    return this.#ask({ type: "presence", room: name, options: { after, limit } }, timeoutMs, presencePageOf);
  }

  /** Replaces the connection's token before it expires. */
  async authenticate(token: string): Promise<void> {
    await this.#ask({ type: "authenticate", token }, undefined, () => true);
  }

  /** The round trip now, and the server's clock (milliseconds since 1970). Rejects with `unavailable` while not open. */
  async ping(): Promise<{ readonly latencyMs: number; readonly serverTimeMs: number }> {
    const startMs = performance.now();
    const serverTimeMs = await this.#ask({ type: "ping" }, undefined, timeOf);
    const latencyMs = performance.now() - startMs;
    this.#pinged(latencyMs, serverTimeMs);
    return { latencyMs, serverTimeMs };
  }

  #leave(id: number): void {
    const listener = this.#listeners.get(id);
    if (listener === undefined) return;
    this.#listeners.delete(id);
    this.#idByRoom.delete(listener.room);
    this.#step({ kind: "unsubscribe", id });
    listener.end();
  }

  #setRate(id: number, rate: Rate): void {
    const problem = rateProblem(rate);
    if (problem !== undefined) throw new FanwireError("bad_request", problem);
    const { room = "" } = this.#listeners.get(id) ?? {};
    if (hasWildcard(room) && rate !== "all") throw patternProblem(room);
    if (this.#listeners.has(id)) this.#step({ kind: "rate", id, rate });
  }

  #pinged(latencyMs: number, serverTimeMs: number | undefined): void {
    this.#latencyMs = latencyMs;
    if (serverTimeMs !== undefined) this.#clockAheadMs = serverTimeMs + latencyMs / 2 - Date.now();
  }

  // One that was refused for good gives way.
  #refuseSecond(room: string): void {
    const id = this.#idByRoom.get(room);
    if (id === undefined) return;
    if (this.#listeners.get(id)?.state.kind !== "failed") {
      const hint = "share the subscription, or end it first";
      throw new FanwireError("bad_request", `${room} is subscribed already: ${hint}`);
    }
    this.#leave(id);
  }

  #ask<R>(
    body: RequestBody,
    timeoutMs: number | undefined,
    read: (raw: unknown) => R | undefined,
  ): Promise<R> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#askers.set(id, {
        answer(raw) {
          const result = read(raw);
          if (result === undefined) reject(new FanwireError("internal", `${body.type}: not an answer`));
          else resolve(result);
        },
        refuse: reject,
      });
      this.#step({ kind: "request", id, body, timeoutMs: timeoutMs ?? this.#timeoutMs });
    });
  }

  #received(payload: unknown): void {
    let frames: ServerFrame[];
    try {
      if (!(payload instanceof ArrayBuffer)) throw new Error("the server sent text");
      frames = decodeFrames(new Uint8Array(payload));
    } catch (cause) {
      this.#step({ kind: "garbled", reason: textOf(cause) });
      return;
    }
    this.#step({ kind: "received", frames });
  }

  // A handler may call back in: its effects go behind those still to be run.
  #step(input: Input): void {
    this.#effects.push(...this.#connection.step(input, performance.now()));
    if (this.#running) return;
    this.#running = true;
    try {
      for (let effect = this.#effects.shift(); effect !== undefined; effect = this.#effects.shift()) {
        this.#run(effect);
      }
    } finally {
      this.#running = false;
    }
  }

  #run(effect: Effect): void {
    switch (effect.kind) {
      case "connect":
        this.#socket.open();
        return;
      case "send":
        this.#socket.send(effect.bytes);
        return;
      case "close":
        this.#socket.close(effect.code);
        return;
      case "wake":
        this.#pacemaker.wakeAt(effect.atMs);
        return;
      case "state":
        this.#enter(effect.state);
        return;
      case "subscription":
        this.#listeners.get(effect.id)?.handle(effect.event);
        return;
      case "answer":
        this.#settle(effect.id)?.answer(effect.result);
        return;
      case "refusal":
        this.#settle(effect.id)?.refuse(effect.error);
        return;
      case "renew":
        this.#renew();
        return;
      case "error":
        this.#events.emit("error", effect.error);
        return;
      case "latency":
        this.#pinged(effect.ms, effect.serverTimeMs);
        return;
    }
  }

  /** Where it fails the connection goes on until the token expires, and then fetches another. */
  #renew(): void {
    this.#socket
      .freshToken()
      .then((token) => this.authenticate(token))
      .catch((cause: unknown) =>
        this.#events.emit(
          "error",
          cause instanceof FanwireError
            ? cause
            : new FanwireError("unauthenticated", `no token: ${textOf(cause)}`),
        ),
      );
  }

  #enter(state: ConnectionState): void {
    this.#state = state;
    if (state.kind === "closed") {
      const error = new FanwireError(
        "closed",
        `the connection was closed with ${state.code}: ${state.reason}`,
      );
      for (const listener of this.#listeners.values()) listener.endLoops(error);
    }
    this.#events.emit("state", state);
  }

  #settle(id: number): Asker | undefined {
    const asker = this.#askers.get(id);
    this.#askers.delete(id);
    return asker;
  }
}
