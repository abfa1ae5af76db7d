import uWS, {
  type HttpRequest,
  type HttpResponse,
  type TemplatedApp,
  type us_socket_context_t,
  type WebSocket,
} from "uWebSockets.js";
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { OPEN_ACCESS } from "../core/access.js";
import type { Engine } from "../core/engine.js";
import type { Limits } from "../core/limits.js";
import type { Fanout } from "../core/ports.js";
import { type CloseCode, CodedError, type ErrorCode, toCodedError } from "../protocol/errors.js";
import { wireFor } from "../protocol/wire.js";
import { type Address, textOfAddress } from "./address.js";
import type { Door, Entrance } from "./auth/door.js";
import type { TokenWatch } from "./auth/token-watch.js";
import { Admission, type House } from "./gateway-admission.js";
import { DescriptorGuard, type OpenFiles } from "./gateway-descriptors.js";
import { callerOf, Doorman } from "./gateway-doorman.js";
import { tellInPortions } from "./gateway-drain.js";
import { EVENTS_PATH, GatewayEvents } from "./gateway-events.js";
import { HttpFront } from "./gateway-http.js";
import { type GatewayCounters, type GatewayLimits, HARD_PAYLOAD_FACTOR } from "./gateway-limits.js";
import { Listener, type ListenOptions } from "./gateway-listener.js";
import type { GatewayLog } from "./gateway-log.js";
import { writeReply } from "./gateway-reply.js";
import { Connection, type SessionFace, type Socket } from "./gateway-socket.js";
import { Ticks } from "./gateway-ticks.js";
import { HandshakeGate, PROBE_MS } from "./handshake-gate.js";
import { JSON_FORMAT } from "./http-format.js";
import { errorReply } from "./http-reply.js";
import type { HttpHandler } from "./http-types.js";
import { openFilesMax, openFilesNow } from "./open-files.js";
import type { SubjectCounts } from "./subject-counts.js";
import { strictTransport, type TlsFiles } from "./tls-files.js";
import type { ProxySettings } from "./trusted-proxies.js";
import type { UpgradePolicy } from "./upgrade.js";

/** What the gateway calls of the engine. */
export interface EngineFace extends Pick<Engine, "tick" | "sweep"> {
  connect(...args: Parameters<Engine["connect"]>): SessionFace;
}

export interface GatewayOptions extends ListenOptions {
  /** See {@link UpgradePolicy.origins}. */
  readonly origins: readonly string[];
  readonly limits: Pick<Limits, "payloadBytes" | "bufferBytes">;
  readonly gatewayLimits: GatewayLimits;
  readonly proxies: ProxySettings;
  /** Checked by the caller. */
  readonly tls: TlsFiles & { readonly hstsSeconds?: number };
  /** Default: as the system says. */
  readonly openFiles?: OpenFiles;
  readonly counters: GatewayCounters;
  /** Requests that all sessions have taken so far, each room of a subscribe many one. */
  readonly workDone: () => number;
  readonly log: GatewayLog;
  /** Answers every request but those to `/ws`. */
  readonly http: HttpHandler;
  /** Decides who may connect, after everything else did. Default: everybody. */
  readonly door?: Door | undefined;
  /** Looks after tokens that end. Default: nobody. */
  readonly watch?: TokenWatch | undefined;
  /** Counts connections by subject of their tokens. Default: nobody counts. */
  readonly subjects?: SubjectCounts | undefined;
  /** Told whose session is open, and where the client is. Default: nobody wants to know. */
  readonly onEntered?: ((session: SessionFace, address: string | undefined) => void) | undefined;
  /** Called once, before the first connection. */
  readonly createEngine: (fanout: Fanout) => EngineFace;
}

export interface Gateway {
  /** The port listened on. */
  readonly port: number;
  /**
   * Takes nothing new from now on: handshakes on connections that are there are refused, HTTP connections are closed
   * after their reply, what the kernel has queued is taken and answered, then the listener is closed. Requests and
   * sessions go on. Never rejects; calling it again gives the same promise.
   */
  stopListening(): Promise<void>;
  /** Has every session look whether it is to be told of an outage, some thousands a second. */
  tellOutage(): void;
  /**
   * {@link stopListening}, and tells every session `goaway`, in even portions over `drainMs` with jitter (less where they
   * are few, so that nobody waits for nothing). Resolves as soon as no session is left, or {@link DRAIN_GRACE_MS}
   * after `drainMs`, or once {@link close} is called. Never rejects; calling it again gives the same promise.
   */
  drain(drainMs: number): Promise<void>;
  /**
   * Takes nothing new, tells every session `goaway` unless a drain did, closes them with 1001, waits for requests that
   * are being answered, and cuts what is left at the deadline. Never rejects; calling it again gives the same promise.
   */
  close(deadlineMs: number): Promise<void>;
  /** Closes connections whose token is void by now. */
  closeRevoked(): Promise<void>;
}

/** Listens. @throws Error where it cannot, saying why and what to do. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const gateway = new UwsGateway(options);
  await gateway.listen();
  return gateway;
}

/** uWebSockets.js copies this, field by field, onto its own object for the socket: the smaller the better. */
interface SocketData {
  readonly connection: Connection;
}

/** Who is let in, and where from where somebody asks. */
interface Newcomer extends Pick<Entrance, "access"> {
  readonly address: string | undefined;
}

/** Where there is no door. */
const OPEN_ENTRANCE: Entrance = Object.freeze({ access: OPEN_ACCESS, asked: undefined });

/** How long a drain waits for sessions that were told to leave. */
export const DRAIN_GRACE_MS = 3_000;

const PATH = "/ws";
const SWEEP_MS = 1_000;
/** How often a close looks whether everything is out. */
const POLL_MS = 20;
/** Time for close frames and last answers to leave, before what is left is cut. */
const LEAVE_MS = 100;
/** Reconnects that a server next door takes a second without trouble; `goaway` spreads them accordingly. */
const RECONNECTS_PER_SECOND = 2_000;
const GOAWAY_MS_MIN = 500;
/** A write is some 7 µs: a tenth of the loop's time. */
const TOLD_PER_SECOND = 15_000;
/** Most that the search for a quiet moment to close the listener takes. */
const LISTENER_CLOSE_MS = 200;
const NO_REASON = new ArrayBuffer(0);
const GOING_AWAY = "the server goes away";

/** With the listener the only place that knows uWebSockets.js. A throw in one of its handlers aborts the process, so each is guarded. */
class UwsGateway implements Gateway {
  readonly #options: GatewayOptions;
  readonly #log: GatewayLog;
  readonly #descriptors: DescriptorGuard;
  readonly #gate: HandshakeGate;
  readonly #doorman: Doorman;
  readonly #admission: Admission;
  readonly #engine: EngineFace;
  readonly #http: HttpFront;
  readonly #events: GatewayEvents;
  /** Headers of every reply. */
  readonly #common: Readonly<Record<string, string>>;
  readonly #app: TemplatedApp;
  readonly #connections = new Set<Connection>();
  /** Makes session ids unique over restarts, too. */
  readonly #boot = randomBytes(8).toString("base64url");
  #sessions = 0;
  /** Of whoever is being let in. */
  #entering: Entrance & Newcomer = { ...OPEN_ENTRANCE, address: undefined };
  /** TCP connections that are no WebSocket (yet). */
  #plainConnections = 0;
  readonly #ticks: Ticks;
  #sweeper: NodeJS.Timeout | undefined;
  #prober: NodeJS.Timeout | undefined;
  #listener: Listener | undefined;
  /** Nothing new is taken any more. */
  #leaving = false;
  #draining: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: GatewayOptions) {
    const { gatewayLimits, counters, origins, http, proxies, tls } = options;
    this.#app = appOf(tls);
    this.#options = options;
    this.#log = options.log;
    const files = options.openFiles ?? { max: openFilesMax(), now: openFilesNow };
    this.#descriptors = new DescriptorGuard(gatewayLimits, files);
    this.#gate = new HandshakeGate(gatewayLimits, performance.now(), Math.random);
    this.#doorman = new Doorman({ proxies, limits: gatewayLimits, counters, random: Math.random });
    this.#admission = new Admission({ origins, gate: this.#gate, counters, random: Math.random });
    const isCrowded = () => this.#leaving || this.#plainConnections * 2 > gatewayLimits.plainConnections;
    const common = strictTransport(tls, tls.hstsSeconds ?? 0);
    this.#common = common;
    this.#http = new HttpFront({
      limits: gatewayLimits,
      counters,
      log: this.#log,
      handler: http,
      common,
      isCrowded,
    });
    this.#events = new GatewayEvents({
      bufferBytes: options.limits.bufferBytes,
      common,
      closed: (connection, code) => {
        this.#plainConnections += 1;
        this.#closed(connection, code, NO_REASON);
      },
    });
    const ticks = new Ticks({
      tick: (nowMs, takeIn) => this.#tick(nowMs, takeIn),
      flushMsMax: gatewayLimits.flushMsMax,
      counters,
    });
    this.#ticks = ticks;
    this.#engine = options.createEngine({
      publish: (topic, bytes, binary) => {
        this.#app.publish(topic, bytes, binary, false);
        if (!binary) this.#events.publish(topic, bytes);
      },
      requestTick: () => ticks.request(),
      requestFlush: () => ticks.requestFlush(),
      wakeAt: (atMs) => ticks.wakeAt(atMs),
      wallMs: Date.now,
    });
    this.#app.filter((res, count) => this.#filter(res, Number(count)));
    this.#routeSockets();
    this.#app.any("/*", (res, req) => this.#request(res, req));
  }

  get port(): number {
    return this.#listener?.port ?? 0;
  }

  async listen(): Promise<void> {
    this.#listener = await Listener.open(this.#app, this.#options);
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS);
    this.#prober = setInterval(() => this.#gate.probe(performance.now()), PROBE_MS);
  }

  async stopListening(deadlineMs = LISTENER_CLOSE_MS): Promise<void> {
    await this.#listener?.close(deadlineMs);
    this.#leaving = true;
  }

  drain(drainMs: number): Promise<void> {
    this.#draining ??= this.#drain(drainMs);
    return this.#draining;
  }

  close(deadlineMs: number): Promise<void> {
    this.#closing ??= this.#close(deadlineMs);
    return this.#closing;
  }

  async closeRevoked(): Promise<void> {
    await this.#options.watch?.closeRevoked(this.#connections);
  }

  tellOutage(): void {
    const everybody = [...this.#connections];
    const tell = ({ session }: Connection) => session?.tellOutage();
    const isOver = () => this.#leaving;
    void tellInPortions(everybody, (everybody.length * 1_000) / TOLD_PER_SECOND, tell, isOver);
  }

  #routeSockets(): void {
    const { limits, gatewayLimits } = this.#options;
    /** Runs a handler of one open socket; what it throws costs that socket only. */
    const guard =
      <A extends readonly unknown[]>(where: string, handle: (connection: Connection, ...args: A) => void) =>
      (socket: WebSocket<SocketData>, ...args: A): void => {
        const { connection } = socket.getUserData();
        try {
          handle(connection, ...args);
        } catch (cause) {
          this.#fault(where, cause, connection.session?.id);
          // Not now: a close within `dropped` crashes the process.
          setImmediate(() => connection.end(1011, "internal error"));
        }
      };
    const open = guard("open", (connection, socket: WebSocket<SocketData>) => this.#open(connection, socket));
    this.#app.ws<SocketData>(PATH, {
      compression: uWS.DISABLED,
      maxPayloadLength: limits.payloadBytes * HARD_PAYLOAD_FACTOR,
      maxBackpressure: limits.bufferBytes,
      closeOnBackpressureLimit: 0,
      idleTimeout: gatewayLimits.idleSeconds,
      sendPingsAutomatically: false,
      upgrade: (res, req, context) => this.#upgrade(res, req, context),
      open: (socket) => open(socket, socket),
      message: guard("message", (connection, message: ArrayBuffer, isBinary: boolean) =>
        this.#receive(connection, message, isBinary),
      ),
      // Answered by uWebSockets.js; here they are only counted.
      ping: guard("ping", ({ session }, data: ArrayBuffer) =>
        session?.heard(data.byteLength, performance.now()),
      ),
      pong: guard("pong", ({ session }, data: ArrayBuffer) =>
        session?.heard(data.byteLength, performance.now()),
      ),
      dropped: guard("dropped", (connection) => connection.session?.dropped()),
      drain: guard("drain", (connection) => connection.session?.drained()),
      close: guard("close", (connection, code: number, reason: ArrayBuffer) =>
        this.#closed(connection, code, reason),
      ),
    });
  }

  /** Counts connections; what opens one and says nothing is cut by uWebSockets.js after 8 to 12 seconds. */
  #filter(res: HttpResponse, count: number): void {
    const fits = this.#descriptors.fits(this.#plainConnections, this.#connections.size);
    this.#plainConnections += count;
    if (count > 0) this.#listener?.accepted();
    else this.#listener?.handling();
    if (count < 0) return;
    if (!fits) this.#options.counters.connectionsRefused += 1;
    if (!fits || !this.#doorman.accepts(res, performance.now())) cut(res);
  }

  #upgrade(res: HttpResponse, req: HttpRequest, context: us_socket_context_t): void {
    try {
      this.#listener?.handling();
      const client = this.#doorman.clientOf(res, req);
      const caller = callerOf(client);
      const nowMs = performance.now();
      const unwelcome = this.#doorman.handshake(caller, nowMs);
      if (unwelcome !== undefined) {
        this.#options.counters.upgradesRefused += 1;
        this.#refuseHandshake(res, unwelcome);
        return;
      }
      const decision = this.#admission.decide(req, this.#house(), nowMs);
      if (decision.kind === "refuse") {
        this.#refuseHandshake(res, decision.error);
        return;
      }
      const address = this.#addressOf(client);
      const entrance = this.#options.door?.admit(req, address) ?? OPEN_ENTRANCE;
      const { bufferBytes } = this.#options.limits;
      const connection = new Connection(wireFor(decision.subprotocol), bufferBytes, caller);
      this.#plainConnections -= 1;
      // Opens it before it returns, so that no connection needs a field for this.
      this.#entering = { ...entrance, address };
      const key = req.getHeader("sec-websocket-key");
      res.upgrade<SocketData>({ connection }, key, decision.header, "", context);
    } catch (cause) {
      this.#notUpgraded(res, cause);
    }
  }

  #notUpgraded(res: HttpResponse, cause: unknown): void {
    try {
      if (!(cause instanceof CodedError)) throw cause;
      this.#options.counters.upgradesRefused += 1;
      this.#refuseHandshake(res, cause);
    } catch (fault) {
      this.#fault("upgrade", fault);
      cut(res);
    }
  }

  #refuseHandshake(res: HttpResponse, error: CodedError): void {
    this.#log.debug({ code: error.code }, "a handshake was refused");
    this.#refuse(res, error);
  }

  /** Every request that is no handshake. */
  #request(res: HttpResponse, req: HttpRequest): void {
    try {
      this.#listener?.handling();
      const url = req.getUrl();
      if (url === PATH) this.#requestOfSocket(res, req);
      else if (url === EVENTS_PATH) this.#follow(res, req);
      else this.#take(res, req);
    } catch (cause) {
      this.#fault("request", cause);
      cut(res);
    }
  }

  /** Opens a stream of events, which is let in as a WebSocket is. */
  #follow(res: HttpResponse, req: HttpRequest): void {
    try {
      const client = this.#doorman.clientOf(res, req);
      const caller = callerOf(client);
      const nowMs = performance.now();
      const unwelcome =
        this.#doorman.handshake(caller, nowMs) ?? this.#admission.refusalOfEvents(req, this.#house(), nowMs);
      if (unwelcome !== undefined) {
        this.#refuse(res, unwelcome);
        return;
      }
      const address = this.#addressOf(client);
      const entrance = this.#options.door?.admit(req, address) ?? OPEN_ENTRANCE;
      const { connection, stream } = this.#events.open(res, req, caller);
      this.#plainConnections -= 1;
      this.#entering = { ...entrance, address };
      this.#open(connection, stream);
    } catch (cause) {
      this.#notUpgraded(res, cause);
    }
  }

  #take(res: HttpResponse, req: HttpRequest): void {
    const client = this.#doorman.clientOf(res, req);
    const nowMs = performance.now();
    const unwelcome = this.#doorman.request(callerOf(client), nowMs);
    if (unwelcome === undefined) this.#http.take(res, req, nowMs, this.#addressOf(client));
    // Its body is not read: what is left of the connection ends with it.
    else this.#refuse(res, unwelcome);
  }

  /** A request to the socket's path that lacks something, so that it is no handshake. */
  #requestOfSocket(res: HttpResponse, req: HttpRequest): void {
    const decision = this.#admission.check(req, this.#house());
    if (decision.kind === "accept") throw new Error("uWebSockets.js did not take a valid handshake");
    this.#refuse(res, decision.error);
  }

  #refuse(res: HttpResponse, error: CodedError): void {
    writeReply(res, errorReply(JSON_FORMAT, error), { close: true, common: this.#common });
  }

  #addressOf(client: Address | undefined): string | undefined {
    const isAsked = this.#options.onEntered !== undefined;
    return isAsked && client !== undefined ? textOfAddress(client) : undefined;
  }

  #house(): House {
    const { socketsMax } = this.#descriptors;
    return { sockets: this.#connections.size, socketsMax, leaving: this.#leaving };
  }

  #open(connection: Connection, socket: Socket): void {
    connection.opened(socket);
    this.#connections.add(connection);
    this.#doorman.opened(connection.caller);
    const { asked, ...newcomer } = this.#entering;
    if (asked === undefined) this.#welcome(connection, newcomer);
    else
      asked
        .then(
          () => this.#welcome(connection, newcomer),
          (cause: unknown) => this.#turnAway(connection, toCodedError(cause)),
        )
        .catch((cause: unknown) => this.#fault("welcome", cause));
  }

  #welcome(connection: Connection, { access, address }: Newcomer): void {
    // It may have gone while it was decided about.
    if (!this.#connections.has(connection)) return;
    const { sub } = access;
    const unwelcome = sub === undefined ? undefined : this.#options.subjects?.enter(sub);
    if (unwelcome !== undefined) {
      this.#turnAway(connection, unwelcome);
      return;
    }
    this.#sessions += 1;
    const id = `${this.#boot}-${this.#sessions.toString(36)}`;
    const session = this.#engine.connect(id, connection.wire, connection, access);
    connection.session = session;
    this.#log.debug({ session: id }, "a connection opened");
    this.#options.onEntered?.(session, address);
    this.#options.watch?.entered(connection, Date.now());
  }

  #turnAway(connection: Connection, { code, message: text, retryMs }: CodedError): void {
    this.#options.counters.upgradesRefused += 1;
    this.#log.debug({ code }, "a handshake was refused");
    connection.send(connection.wire.encode({ type: "error", ref: 0, code, text, retryMs }));
    connection.close(closeCodeOf(code), text);
  }

  #receive(connection: Connection, message: ArrayBuffer, isBinary: boolean): void {
    const { session, wire } = connection;
    if (session === undefined) {
      connection.close(4400, "nothing may be sent before welcome");
      return;
    }
    if (isBinary !== wire.binary) {
      const text = `${wire.subprotocol} is spoken in ${wire.binary ? "binary" : "text"} frames only`;
      connection.send(wire.encode({ type: "error", ref: 0, code: "bad_request", text, retryMs: undefined }));
      connection.close(4400, text);
      return;
    }
    const { caller } = connection;
    const before = this.#options.workDone();
    session.receive(new Uint8Array(message), performance.now());
    if (caller === undefined) return;
    const error = this.#doorman.asked(caller, this.#options.workDone() - before, performance.now());
    if (error === undefined) return;
    const { code, message: text, retryMs } = error;
    connection.send(wire.encode({ type: "error", ref: 0, code, text, retryMs }));
    connection.close(4429, text);
  }

  #closed(connection: Connection, code: number, reason: ArrayBuffer): void {
    this.#connections.delete(connection);
    this.#doorman.closed(connection.caller);
    // It may have become somebody's since it came.
    const session = connection.session?.id;
    const sub = connection.session?.access.sub;
    if (sub !== undefined) this.#options.subjects?.left(sub);
    connection.closed(performance.now());
    this.#log.debug({ session, code }, "a connection closed");
    // The only sign that the limit was exceeded; the client sees an end without a close frame.
    if (code !== 1006 || Buffer.from(reason).toString("latin1") !== "Received too big message") return;
    this.#options.counters.payloadsCut += 1;
    const limit = this.#options.limits.payloadBytes * HARD_PAYLOAD_FACTOR;
    this.#log.warn({ limit, session }, "a socket was cut off: its message was too long");
  }

  #tick(nowMs: number, takeIn: boolean): void {
    try {
      this.#engine.tick(nowMs, takeIn);
    } catch (cause) {
      this.#fault("tick", cause);
    }
  }

  #sweep(): void {
    const nowMs = performance.now();
    try {
      // In case one threw while somebody waited for it.
      this.#ticks.request();
      this.#lookAtBuffers();
      this.#engine.sweep(nowMs);
      this.#http.sweep(nowMs);
      this.#events.sweep(nowMs);
      this.#doorman.sweep(nowMs);
      this.#options.watch
        ?.sweep(this.#connections, Date.now())
        .catch((cause: unknown) => this.#fault("sweep", cause));
      this.#shed(this.#descriptors.sweep(this.#plainConnections, this.#connections.size));
    } catch (cause) {
      this.#fault("sweep", cause);
    }
  }

  /** Some 0.1 µs each. Who takes nothing at all is not told of by any callback. */
  #lookAtBuffers(): void {
    const { counters } = this.#options;
    let bytes = 0;
    let sockets = 0;
    for (const connection of this.#connections) {
      connection.session?.lookAtBuffer();
      const waiting = connection.bufferedBytes();
      bytes += waiting;
      if (waiting > 0) sockets += 1;
    }
    counters.waitingBytes = bytes;
    counters.waitingSockets = sockets;
  }

  /** Rather than turn in circles: without a free descriptor nothing can be accepted, and nothing refused. */
  #shed(count: number): void {
    if (count === 0) return;
    this.#options.counters.connectionsShed += count;
    this.#log.warn({ count }, "open files run out: connections are closed to get some back");
    for (const connection of [...this.#connections].slice(0, count)) {
      this.#tell(connection, Math.round(Math.random() * SWEEP_MS));
      connection.end(4503, "the server has no open files left");
    }
  }

  async #drain(drainMs: number): Promise<void> {
    const graceEndMs = performance.now() + drainMs + DRAIN_GRACE_MS;
    const isOver = () => this.#connections.size === 0 || this.#closing !== undefined;
    await this.stopListening();
    const tell = (connection: Connection, delayMs: number) => this.#tell(connection, delayMs);
    await tellInPortions([...this.#connections], drainMs, tell, isOver);
    await until(isOver, graceEndMs);
  }

  async #close(deadlineMs: number): Promise<void> {
    const endMs = performance.now() + deadlineMs;
    await this.stopListening(Math.min(LISTENER_CLOSE_MS, deadlineMs / 10));
    const spreadMs = Math.max(GOAWAY_MS_MIN, (this.#connections.size * 1_000) / RECONNECTS_PER_SECOND);
    if (this.#draining === undefined)
      for (const connection of this.#connections)
        this.#tell(connection, Math.round(Math.random() * spreadMs));
    // Half of the time for slow readers to take what is theirs, the other half for requests.
    await until(() => this.#bufferedNothing(), performance.now() + deadlineMs / 2);
    for (const connection of this.#connections) connection.end(1001, GOING_AWAY);
    await until(() => this.#http.pending === 0, endMs);
    await sleep(Math.min(LEAVE_MS, deadlineMs));
    clearInterval(this.#sweeper);
    clearInterval(this.#prober);
    this.#ticks.stop();
    this.#app.close();
  }

  /** One that is closed meanwhile has no session. */
  #tell({ session }: Connection, delayMs: number): void {
    try {
      session?.goaway(GOING_AWAY, delayMs);
    } catch (cause) {
      this.#fault("goaway", cause);
    }
  }

  #bufferedNothing(): boolean {
    for (const connection of this.#connections) if (connection.bufferedBytes() > 0) return false;
    return true;
  }

  #fault(where: string, cause: unknown, session?: string): void {
    this.#options.counters.faults += 1;
    this.#log.error({ err: cause, where, session }, "a handler threw");
  }
}

/** @throws Error where certificate and key are no pair. */
function appOf({ cert, key }: TlsFiles): TemplatedApp {
  if (cert === "") return uWS.App();
  // Without buffers kept for sockets that are quiet.
  return uWS.SSLApp({ cert_file_name: cert, key_file_name: key, ssl_prefer_low_memory_usage: true });
}

/** How whoever is turned away after the upgrade is told. */
function closeCodeOf(code: ErrorCode): CloseCode {
  switch (code) {
    case "unauthenticated":
      return 4401;
    case "rate_limited":
      return 4429;
    case "unavailable":
    case "timeout":
      return 4503;
    case "internal":
      return 1011;
    default:
      return 4403;
  }
}

/** Cuts a connection off, so that nothing hangs on it. */
function cut(res: HttpResponse): void {
  try {
    res.close();
  } catch {
    // It was ended before: then nothing hangs.
  }
}

/** Waits for a condition, or until the time by `performance.now()`. */
async function until(isDone: () => boolean, endMs: number): Promise<void> {
  while (!isDone() && performance.now() < endMs) await sleep(POLL_MS);
}
