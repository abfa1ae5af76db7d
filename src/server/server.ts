import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { ownLine } from "../broker/presence/presence-hub.js";
import type { Guard } from "../core/access.js";
import { type Counters, createCounters } from "../core/counters.js";
import { Engine, type EngineLook, type RoomReport } from "../core/engine.js";
import type { HistogramReport } from "../core/histogram.js";
import { softWatermark } from "../core/limits.js";
import type { Gossip } from "../core/ports.js";
import type { PresenceLine } from "../core/presence/line.js";
import { Telemetry, type TelemetryReport } from "../core/telemetry.js";
import { CodedError } from "../protocol/errors.js";
import type { RoomName } from "../protocol/room-name.js";
import { createAuth } from "./auth/index.js";
import { RevocationMemory } from "./auth/revocation-memory.js";
import { type KeptRevocation, keepUntil, parseRevocation } from "./auth/revocations.js";
import { TokenWatch } from "./auth/token-watch.js";
import { Availability } from "./availability.js";
import { type RunningBroker, startBroker, startPresence } from "./broker.js";
import { CallerRates } from "./caller-rates.js";
import { connectionLimits } from "./capacity-limits.js";
import { type Config, settingsOf } from "./config.js";
import { type Gateway, startGateway } from "./gateway.js";
import {
  createGatewayCounters,
  DEFAULT_GATEWAY_LIMITS,
  type GatewayCounters,
  type GatewayLimits,
} from "./gateway-limits.js";
import { createHttpApi } from "./http-api.js";
import { createLogger, type Logger } from "./log.js";
import { streamOf } from "./nats-options.js";
import { openFilesMax } from "./open-files.js";
import { loadPages, PAGE_HEADERS, type Pages } from "./static-files.js";
import { SubjectCounts } from "./subject-counts.js";
import { type BrokerOperation, TimedBroker } from "./timed-broker.js";
import { checkTlsFiles } from "./tls-files.js";
import { urlOf } from "./url.js";

export interface ServerOptions {
  /** Default: a log on stderr as the configuration says. */
  readonly log?: Logger;
  /** Where rooms live instead of in this process; not stopped with the server. Default: the embedded broker. */
  readonly broker?: SharedBroker;
  /**
   * Other processes listen on the port too (SO_REUSEPORT); whoever starts them has seen to it that nobody else does.
   * Default: the port is this process's alone.
   */
  readonly sharePort?: boolean;
  /** Revocations that were made before this process started. */
  readonly revocations?: readonly KeptRevocation[];
  /**
   * Tells other processes of a revocation, and whoever remembers it; resolves when they know. Default: there are none, and this
   * one keeps the file that the configuration names.
   */
  readonly spread?: (kept: KeptRevocation) => Promise<void>;
}

/** A broker outside of this process, with the totals of the way to it. */
export interface SharedBroker extends Pick<RunningBroker, "broker" | "counters" | "isAvailable" | "away"> {
  readonly availability: Availability;
  readonly presence: PresenceLine;
}

/** What was measured since the start. */
export interface ServerTelemetry extends TelemetryReport {
  /** How long the broker took to answer. */
  readonly broker: Readonly<Record<BrokerOperation, HistogramReport>>;
}

/** A server that listens. */
export interface RunningServer {
  /** The port listened on, also where the configuration said 0. */
  readonly port: number;
  /** Its address such as `http://127.0.0.1:9001`, without a slash at the end. */
  readonly url: string;
  /** Running totals since the start. */
  readonly counters: Counters;
  readonly gatewayCounters: GatewayCounters;
  /** Of the embedded broker, or of the way to the shared one as it is now. */
  readonly brokerCounters: Readonly<Record<string, number>>;
  readonly telemetry: ServerTelemetry;
  /** Whether the broker can be reached and can store. */
  readonly isBrokerAvailable: boolean;
  /** Streams of the broker in this process that do not answer, though others do. */
  readonly brokerAway: readonly string[];
  /** The way to other nodes, of a broker in this process. */
  readonly gossip: Gossip | undefined;
  /** Rooms that are open now. */
  readonly openRooms: number;
  /** See `Engine.look` and `Engine.inspect`. */
  look(rooms: readonly RoomName[]): EngineLook | undefined;
  inspect(room: RoomName): RoomReport | undefined;
  /**
   * Makes tokens void in this process, and closes connections that have one. What cannot be remembered is logged, and all else
   * is done; rejects with the last CodedError of these.
   */
  revoke(kept: readonly KeptRevocation[]): Promise<void>;
  /**
   * Takes nothing new and sends every client elsewhere, in even portions over this time: `goaway`, then 1001 for those
   * that stay. Then {@link RunningServer.stop}.
   */
  drain(drainMs: number): Promise<void>;
  /**
   * Takes nothing new, tells every client `goaway`, closes sockets with 1001, answers requests under way, and cuts
   * what is left at the deadline. Default: 10 seconds. A second call waits for the first.
   */
  stop(deadlineMs?: number): Promise<void>;
}

const STOP_MS = 10_000;
const SWEEP_MS = 1_000;
/** Namespaces that metrics tell apart. Each is a set of series of its own; the rest is one together. */
const NAMESPACES_TOLD_MAX = 100;
const PAGE_FOLDER = fileURLToPath(new URL("../page/", import.meta.url));
const PACKAGE_FILE = new URL("../../package.json", import.meta.url);

/**
 * Starts one process's server with the embedded broker: WebSockets at `/ws`, the HTTP API below `/v1`, the demo page
 * at `/` where the configuration says `demo`.
 * @throws Error where it cannot listen, or where the page is asked for and not built.
 */
export async function startServer(config: Config, options: ServerOptions = {}): Promise<RunningServer> {
  const log = options.log ?? createLogger(config);
  const certificate = checkTlsFiles(config.tls, Date.now());
  if (certificate?.expired) log.warn(certificate, "the certificate is expired: clients will refuse it");
  const version = readVersion();
  const pages = config.demo ? await loadPages(PAGE_FOLDER) : hint(version);
  const settings = settingsOf(config);
  const counters = createCounters();
  const gatewayCounters = createGatewayCounters();
  const memory = RevocationMemory.open(config, options);
  const running = await brokerOf(config, options, log, (kept) => memory.learn(kept));
  const { counters: brokerCounters, isAvailable, availability, presence, stop: stopBroker } = running;
  const broker = new TimedBroker(running.broker);
  const telemetry = new Telemetry(Object.keys(config.namespaces).slice(0, NAMESPACES_TOLD_MAX));
  const sweeper = setInterval(() => broker.sweep(), SWEEP_MS).unref();
  let stopping: Promise<void> | undefined;
  let engine: Engine | undefined;
  const auth = await createAuth(config, gatewayCounters, log).catch(async (cause: unknown) => {
    await stopBroker(STOP_MS);
    memory.close();
    throw cause;
  });
  const { authority, apiKeys, hooks, revocations, door } = auth;
  let closer: Gateway | undefined;
  await memory.attach(revocations, { closeRevoked: async () => closer?.closeRevoked() }, log);
  const watch = authority && new TokenWatch(revocations, gatewayCounters, Date.now());
  const subjects = new SubjectCounts(config.limits.connectionsPerSub, gatewayCounters);
  const guard: Guard = {
    authenticate: authority && ((token) => authority.accessLater(token)),
    enter: (_, sub) => subjects.enter(sub),
    subscribe: hooks?.subscribe,
    subscribePattern: hooks?.subscribePattern,
    publish: hooks?.publish,
  };
  const rates = new CallerRates(config.limits, gatewayCounters);
  const api = createHttpApi({
    checkRate: (caller, writes) => rates.check(caller, writes, performance.now()),
    broker,
    settingsOf: settings,
    config,
    auth: { authority, apiKeys },
    guard,
    revoke: async (body) => {
      const nowSeconds = Date.now() / 1_000;
      const revocation = parseRevocation(body, nowSeconds);
      const kept = { revocation, until: keepUntil(config.auth, nowSeconds) };
      await memory.revoke([kept]);
      await memory.spread(kept, running.revoke);
    },
    counters,
    occupants: (room) => {
      if (engine === undefined) throw new CodedError("unavailable", "the server is just starting", 100);
      return engine.presence.ask(room);
    },
    version,
    health: () => ({
      ok: stopping === undefined,
      time: Date.now(),
      node: config.node,
      connections: counters.connections,
      rooms: engine?.openRooms ?? 0,
      counters: { engine: counters, gateway: gatewayCounters, broker: brokerCounters() },
    }),
    onFault: (cause, { id, method, path }) =>
      log.error({ err: cause, request: id, method, path }, "an HTTP request failed"),
  });
  const { node } = config;
  const limits = { ...config.limits, softWatermarkBytes: softWatermark(config.limits) };
  const gateway = await startGateway({
    ...config,
    sharePort: options.sharePort ?? false,
    gatewayLimits: gatewayLimits(config, options, log),
    counters: gatewayCounters,
    workDone: () => counters.requests + counters.roomsOfMany,
    log,
    door,
    watch,
    subjects,
    onEntered: hooks && ((session, address) => hooks.entered(session, address)),
    http: async (request) => pages(request) ?? api(request),
    createEngine: (fanout) => {
      const outages = availability;
      const ports = { broker, fanout, outages, guard, presence, telemetry };
      engine = new Engine({ node, settingsOf: settings, limits, counters, ...ports });
      return engine;
    },
  }).catch(async (cause: unknown) => {
    await stopBroker(STOP_MS);
    memory.close();
    throw cause;
  });
  closer = gateway;
  availability.onOutage(() => gateway.tellOutage());
  const stop = async (deadlineMs = STOP_MS): Promise<void> => {
    stopping ??= stopAll(deadlineMs);
    await stopping;
  };
  const stopAll = async (deadlineMs: number): Promise<void> => {
    log.info({ connections: counters.connections, deadlineMs }, "stopping");
    await gateway.close(deadlineMs);
    clearInterval(sweeper);
    availability.stop();
    await stopBroker(deadlineMs);
    memory.close();
    log.info({}, "stopped");
  };
  const drain = async (drainMs: number): Promise<void> => {
    log.info({ connections: counters.connections, drainMs }, "draining");
    await gateway.drain(drainMs);
    await stop();
  };
  const url = urlOf(config, gateway.port);
  log.info({ url, demo: config.demo, certificate }, "listening");
  return {
    port: gateway.port,
    url,
    counters,
    gatewayCounters,
    get brokerCounters() {
      return brokerCounters();
    },
    get telemetry() {
      return { ...telemetry.report(), broker: broker.times() };
    },
    get isBrokerAvailable() {
      return isAvailable();
    },
    get brokerAway() {
      return running.away();
    },
    gossip: running.broker.gossip,
    get openRooms() {
      return engine?.openRooms ?? 0;
    },
    look: (rooms) => engine?.look(performance.now(), rooms),
    inspect: (room) => engine?.inspect(room),
    revoke: (kept) => memory.revoke(kept),
    drain,
    stop,
  };
}

async function brokerOf(
  config: Config,
  { broker }: ServerOptions,
  log: Logger,
  onRevoked: (kept: readonly KeptRevocation[]) => void,
): Promise<SharedBroker & Pick<RunningBroker, "stop" | "revoke">> {
  if (broker !== undefined) return { ...broker, stop: async () => {} };
  const availability = new Availability(() => 0, streamOf(config));
  const own = await startBroker(config, log, {
    onAvailable: (isAvailable) => availability.set(0, isAvailable),
    onAway: (streams) => availability.setAway(0, streams),
    onRevoked,
  });
  const hub = startPresence(config, own.broker, config.node);
  const stop = async (deadlineMs: number): Promise<void> => {
    hub.stop();
    await own.stop(deadlineMs);
  };
  const counters = (): Record<string, number> => ({ ...own.counters(), ...hub.counters });
  return { ...own, counters, availability, presence: ownLine(hub), stop };
}

/** The configured limits, lowered to what the process may open. Whoever starts workers has warned of that by then. */
function gatewayLimits(config: Config, { sharePort = false }: ServerOptions, log: Logger): GatewayLimits {
  const {
    connections: configured,
    inboxBytes,
    idleSeconds,
    bodyBytes,
    flushMsMax,
    handshakesPerSecond,
    handshakeLagMs,
    connectionsPerAddress,
    handshakesPerSecondPerAddress,
    acceptsPerSecondPerAddress,
    httpRequestsPerSecondPerAddress,
    requestsPerSecondPerAddress,
  } = config.limits;
  const fitting = connectionLimits(config.limits, openFilesMax());
  if (fitting.connections < configured)
    log[sharePort ? "debug" : "info"](
      { configured, effective: fitting.connections },
      "fewer connections than configured: raise ulimit -n",
    );
  const handshakes = { handshakesPerSecond, handshakeLagMs, handshakesPerSecondPerAddress };
  const addresses = {
    connectionsPerAddress,
    acceptsPerSecondPerAddress,
    httpRequestsPerSecondPerAddress,
    requestsPerSecondPerAddress,
  };
  return {
    ...DEFAULT_GATEWAY_LIMITS,
    ...fitting,
    ...handshakes,
    ...addresses,
    inboxBytes,
    idleSeconds,
    bodyBytes,
    flushMsMax,
  };
}

/** What stands at `/` where no page is served. */
function hint(version: string): Pages {
  const body = [
    `fanwire ${version}`,
    "",
    "/ws         WebSocket, sub-protocols fanwire.v1 and fanwire.v1.json",
    "/v1         HTTP API",
    "/healthz    health",
    "",
    "Start it with --demo for a page with live data.",
    "",
  ].join("\n");
  const headers = { "content-type": "text/plain; charset=utf-8", ...PAGE_HEADERS };
  return ({ method, path }) =>
    path === "/" && method === "GET" ? { status: 200, headers, body } : undefined;
}

function readVersion(): string {
  const parsed: unknown = JSON.parse(readFileSync(PACKAGE_FILE, "utf8"));
  if (typeof parsed === "object" && parsed !== null && "version" in parsed) return String(parsed.version);
  throw new Error(`${fileURLToPath(PACKAGE_FILE)} has no version`);
}
