import type { CodedError } from "../protocol/errors.js";
import { Admission } from "./gateway-admission.js";
import { Cors } from "./gateway-cors.js";
import { DescriptorGuard } from "./gateway-descriptors.js";
import { Doorman } from "./gateway-doorman.js";
import { tellInPortions } from "./gateway-drain.js";
import { Entry } from "./gateway-entry.js";
import { EVENTS_PATH, GatewayEvents } from "./gateway-events.js";
import { Exit, LISTENER_CLOSE_MS } from "./gateway-exit.js";
import { Floor } from "./gateway-floor.js";
import { HttpFront } from "./gateway-http.js";
import { Intake } from "./gateway-intake.js";
import { HARD_PAYLOAD_FACTOR } from "./gateway-limits.js";
import { Listener } from "./gateway-listener.js";
import type { EngineFace, Gateway, GatewayOptions } from "./gateway-options.js";
import { writeReply } from "./gateway-reply.js";
import type { Connection } from "./gateway-socket.js";
import { Ticks } from "./gateway-ticks.js";
import {
  type HttpRequest,
  type HttpResponse,
  type TemplatedApp,
  type us_socket_context_t,
  uWS,
  type WebSocket,
} from "./gateway-uws.js";
import { HandshakeGate, PROBE_MS } from "./handshake-gate.js";
import { JSON_FORMAT } from "./http-format.js";
import { errorReply } from "./http-reply.js";
import { openFilesMax, openFilesNow } from "./open-files.js";
import { strictTransport, type TlsFiles } from "./tls-files.js";

export type { EngineFace, Gateway, GatewayOptions } from "./gateway-options.js";

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

const PATH = "/ws";
const SWEEP_MS = 1_000;
const NO_REASON = new ArrayBuffer(0);
/** A write is some 7 µs: a tenth of the loop's time. */
const TOLD_PER_SECOND = 15_000;

/** With the listener the only place that knows uWebSockets.js. A throw in one of its handlers aborts the process, so each is guarded. */
class UwsGateway implements Gateway {
  readonly #options: GatewayOptions;
  readonly #floor: Floor;
  readonly #descriptors: DescriptorGuard;
  readonly #gate: HandshakeGate;
  readonly #doorman: Doorman;
  readonly #entry: Entry;
  readonly #intake: Intake;
  readonly #exit: Exit;
  readonly #engine: EngineFace;
  readonly #http: HttpFront;
  readonly #events: GatewayEvents;
  readonly #cors: Cors;
  /** Headers of every reply. */
  readonly #common: Readonly<Record<string, string>>;
  readonly #app: TemplatedApp;
  readonly #ticks: Ticks;
  #sweeper: NodeJS.Timeout | undefined;
  #prober: NodeJS.Timeout | undefined;
  #listener: Listener | undefined;

  constructor(options: GatewayOptions) {
    const { gatewayLimits, counters, proxies, tls } = options;
    this.#app = appOf(tls);
    this.#options = options;
    this.#floor = new Floor(options.log, counters);
    const files = options.openFiles ?? { max: openFilesMax(), now: openFilesNow };
    this.#descriptors = new DescriptorGuard(gatewayLimits, files);
    this.#gate = new HandshakeGate(gatewayLimits, performance.now(), Math.random, () => this.#watchLag());
    this.#doorman = new Doorman({ proxies, limits: gatewayLimits, counters, random: Math.random });
    this.#common = strictTransport(tls, tls.hstsSeconds ?? 0);
    this.#cors = new Cors(options.origins);
    this.#http = this.#createHttp();
    this.#events = new GatewayEvents({
      bufferBytes: options.limits.bufferBytes,
      payloadBytes: options.limits.payloadBytes,
      headersFor: (req) => ({ ...this.#common, ...this.#cors.headersFor(req) }),
      receive: (connection, message, isBinary) => this.#receive(connection, message, isBinary),
      refused: () => {
        counters.httpRefused += 1;
      },
      closed: (connection, code) => {
        this.#floor.plainConnections += 1;
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
        this.#events.publish(topic, bytes, binary);
      },
      requestTick: () => ticks.request(),
      requestFlush: () => ticks.requestFlush(),
      get isBusy() {
        return ticks.isBusy;
      },
      wakeAt: (atMs) => ticks.wakeAt(atMs),
      wallMs: Date.now,
    });
    this.#entry = this.#createEntry();
    this.#intake = new Intake({
      floor: this.#floor,
      workDone: options.workDone,
      asked: ({ caller }, count) => this.#doorman.asked(caller, count, performance.now()),
      inboxBytes: gatewayLimits.inboxBytes,
    });
    this.#exit = new Exit({
      floor: this.#floor,
      stopListening: (deadlineMs) => this.stopListening(deadlineMs),
      pending: () => this.#http.pending,
      shut: () => this.#shut(),
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
  }

  async stopListening(deadlineMs = LISTENER_CLOSE_MS): Promise<void> {
    await this.#listener?.close(deadlineMs);
    this.#floor.isLeaving = true;
  }

  drain(drainMs: number): Promise<void> {
    return this.#exit.drain(drainMs);
  }

  close(deadlineMs: number): Promise<void> {
    return this.#exit.close(deadlineMs);
  }

  async closeRevoked(): Promise<void> {
    await this.#options.watch?.closeRevoked(this.#floor.connections);
  }

  tellOutage(): void {
    const everybody = [...this.#floor.connections];
    const tell = ({ session }: Connection) => session?.tellOutage();
    const isOver = () => this.#floor.isLeaving;
    void tellInPortions(everybody, (everybody.length * 1_000) / TOLD_PER_SECOND, tell, isOver);
  }

  #watchLag(): void {
    const prober = setInterval(() => {
      if (!this.#gate.probe(performance.now())) clearInterval(prober);
    }, PROBE_MS);
    this.#prober = prober;
  }

  #createHttp(): HttpFront {
    const { gatewayLimits: limits, counters, http: handler } = this.#options;
    const floor = this.#floor;
    return new HttpFront({
      limits,
      counters,
      log: floor.log,
      handler,
      common: this.#common,
      isCrowded: () => floor.isLeaving || floor.plainConnections * 2 > limits.plainConnections,
    });
  }

  #createEntry(): Entry {
    const { origins, counters, limits, door, watch, subjects, onEntered } = this.#options;
    return new Entry({
      floor: this.#floor,
      doorman: this.#doorman,
      admission: new Admission({ origins, gate: this.#gate, counters, random: Math.random }),
      socketsMax: () => this.#descriptors.socketsMax,
      bufferBytes: limits.bufferBytes,
      ...{ door, watch, subjects, onEntered },
      connect: (id, connection, access) => this.#engine.connect(id, connection.wire, connection, access),
    });
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
          this.#floor.fault(where, cause, connection.session?.id);
          // Not now: a close within `dropped` crashes the process.
          setImmediate(() => connection.end(1011, "internal error"));
        }
      };
    const open = guard("open", (connection, socket: WebSocket<SocketData>) =>
      this.#entry.opened(connection, socket),
    );
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
        this.#intake.receive(connection, message, isBinary),
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
    const floor = this.#floor;
    const fits = this.#descriptors.fits(floor.plainConnections, floor.connections.size);
    floor.plainConnections += count;
    if (count > 0) this.#listener?.accepted();
    else this.#listener?.handling();
    if (count < 0) return;
    if (!fits) floor.counters.connectionsRefused += 1;
    if (!fits || !this.#doorman.accepts(res, performance.now())) cut(res);
  }

  #upgrade(res: HttpResponse, req: HttpRequest, context: us_socket_context_t): void {
    try {
      this.#listener?.handling();
      const decision = this.#entry.decide(res, req);
      if (decision.kind === "refuse") {
        this.#refuseHandshake(res, decision.error);
        return;
      }
      const { connection, header } = decision;
      const key = req.getHeader("sec-websocket-key");
      // Opens it before it returns.
      res.upgrade<SocketData>({ connection }, key, header, "", context);
    } catch (cause) {
      this.#floor.fault("upgrade", cause);
      cut(res);
    }
  }

  #refuseHandshake(res: HttpResponse, error: CodedError, allowed = {}): void {
    this.#floor.log.debug({ code: error.code }, "a handshake was refused");
    this.#refuse(res, error, allowed);
  }

  /** Every request that is no handshake. */
  #request(res: HttpResponse, req: HttpRequest): void {
    try {
      this.#listener?.handling();
      const url = req.getUrl();
      if (url === PATH) this.#refuse(res, this.#entry.refusalOf(req));
      else if (url === EVENTS_PATH && req.getCaseSensitiveMethod() !== "OPTIONS") this.#follow(res, req);
      else this.#take(res, req);
    } catch (cause) {
      this.#floor.fault("request", cause);
      cut(res);
    }
  }

  /** What a stream of events asks for, as a WebSocket's message. */
  #receive(connection: Connection, message: ArrayBuffer, isBinary: boolean): void {
    try {
      this.#intake.receive(connection, message, isBinary);
    } catch (cause) {
      this.#floor.fault("events", cause, connection.session?.id);
      connection.end(1011, "internal error");
    }
  }

  /** Opens a stream of events, which is let in as a WebSocket is. */
  #follow(res: HttpResponse, req: HttpRequest): void {
    const refusal = this.#entry.follow(res, req, (caller) => this.#events.open(res, req, caller));
    if (refusal !== undefined) this.#refuseHandshake(res, refusal, this.#cors.headersFor(req));
  }

  #take(res: HttpResponse, req: HttpRequest): void {
    const decision = this.#entry.request(res, req);
    const allowed = this.#cors.headersFor(req);
    const preflight = this.#cors.preflight(req);
    // Its body is not read: what is left of the connection ends with it.
    if (decision.kind === "refuse") this.#refuse(res, decision.error, allowed);
    else if (preflight !== undefined) writeReply(res, preflight, { common: { ...this.#common, ...allowed } });
    else this.#http.take(res, req, decision, allowed);
  }

  /** `allowed`: what a page of another origin is told, see {@link Cors}. */
  #refuse(res: HttpResponse, error: CodedError, allowed = {}): void {
    const common = { ...this.#common, ...allowed };
    writeReply(res, errorReply(JSON_FORMAT, error), { close: true, common });
  }

  #closed(connection: Connection, code: number, reason: ArrayBuffer): void {
    const { counters, log } = this.#floor;
    const session = connection.session?.id;
    this.#entry.closed(connection);
    connection.gone();
    if (!this.#intake.outlives(connection, code)) connection.closed(performance.now());
    log.debug({ session, code }, "a connection closed");
    if (code !== 1006) return;
    // The only signs of these limits; the client sees an end without a close frame.
    const why = Buffer.from(reason).toString("latin1");
    if (why === "WebSocket timed out from inactivity") counters.idleCloses += 1;
    if (why !== "Received too big message") return;
    counters.payloadsCut += 1;
    const limit = this.#options.limits.payloadBytes * HARD_PAYLOAD_FACTOR;
    log.warn({ limit, session }, "a socket was cut off: its message was too long");
  }

  #tick(nowMs: number, takeIn: boolean): void {
    try {
      this.#engine.tick(nowMs, takeIn);
    } catch (cause) {
      this.#floor.fault("tick", cause);
    }
  }

  #sweep(): void {
    const floor = this.#floor;
    const nowMs = performance.now();
    try {
      // In case one threw while somebody waited for it.
      this.#ticks.request();
      floor.lookAtBuffers();
      this.#engine.sweep(nowMs);
      this.#http.sweep(nowMs);
      this.#events.sweep(nowMs);
      this.#doorman.sweep(nowMs);
      this.#options.watch
        ?.sweep(floor.connections, Date.now())
        .catch((cause: unknown) => floor.fault("sweep", cause));
      this.#exit.shed(this.#descriptors.sweep(floor.plainConnections, floor.connections.size));
    } catch (cause) {
      floor.fault("sweep", cause);
    }
  }

  #shut(): void {
    clearInterval(this.#sweeper);
    clearInterval(this.#prober);
    this.#ticks.stop();
    this.#app.close();
  }
}

/** @throws Error where certificate and key are no pair. */
function appOf({ cert, key }: TlsFiles): TemplatedApp {
  if (cert === "") return uWS.App();
  // Without buffers kept for sockets that are quiet.
  return uWS.SSLApp({ cert_file_name: cert, key_file_name: key, ssl_prefer_low_memory_usage: true });
}

/** Cuts a connection off, so that nothing hangs on it. */
function cut(res: HttpResponse): void {
  try {
    res.close();
  } catch {
    // It was ended before: then nothing hangs.
  }
}
