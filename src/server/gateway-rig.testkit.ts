import type { TestContext } from "node:test";
import { encode } from "@msgpack/msgpack";
import { MemoryBroker } from "../broker/memory.js";
import { type Counters, createCounters } from "../core/counters.js";
import { Engine, type Session } from "../core/engine.js";
import { DEFAULT_LIMITS, type Limits } from "../core/limits.js";
import type { Broker } from "../core/ports.js";
import { DEFAULT_ROOM_SETTINGS, type RoomSettings } from "../core/settings.js";
import type { Position } from "../protocol/frames.js";
import { namespaceOf, parseRoom } from "../protocol/room-name.js";
import { type Gateway, type GatewayOptions, startGateway } from "./gateway.js";
import type { OpenFiles } from "./gateway-descriptors.js";
import {
  createGatewayCounters,
  DEFAULT_GATEWAY_LIMITS,
  type GatewayCounters,
  type GatewayLimits,
} from "./gateway-limits.js";
import type { GatewayLog } from "./gateway-log.js";
import type { HttpHandler } from "./http-types.js";
import type { ProxySettings } from "./trusted-proxies.js";

export interface LogLine {
  readonly level: "info" | "warn" | "error";
  readonly details: object;
  readonly message: string;
}

export interface Rig {
  readonly port: number;
  readonly gateway: Gateway;
  readonly engine: Engine;
  readonly broker: Broker;
  readonly counters: Counters;
  readonly gatewayCounters: GatewayCounters;
  readonly lines: readonly LogLine[];
  /** Every session so far, those that are closed too. */
  readonly sessions: readonly Session[];
  /** Publishes as the HTTP API would. */
  publish(room: string, data: unknown, key?: string): Promise<Position>;
}

export interface RigOptions {
  readonly limits?: Partial<Limits>;
  readonly gatewayLimits?: Partial<GatewayLimits>;
  readonly origins?: readonly string[];
  readonly proxies?: ProxySettings;
  readonly http?: HttpHandler;
  readonly port?: number;
  readonly sharePort?: boolean;
  readonly openFiles?: OpenFiles;
  /** Default: one of its own. Not stopped with the rig. */
  readonly broker?: Broker;
  /** Settings by namespace. */
  readonly namespaces?: Readonly<Record<string, Partial<RoomSettings>>>;
  /** Replaces the engine by one that misbehaves. */
  readonly wrapEngine?: (engine: Engine) => ReturnType<GatewayOptions["createEngine"]>;
}

/** A gateway on a free port, over a real engine and the embedded broker; gone when the test is over. */
export async function startRig(t: TestContext, options: RigOptions = {}): Promise<Rig> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const counters = createCounters();
  const gatewayCounters = createGatewayCounters();
  const settingsOf = (room: ReturnType<typeof parseRoom>): RoomSettings => ({
    ...DEFAULT_ROOM_SETTINGS,
    publish: "client",
    ...options.namespaces?.[namespaceOf(room)],
  });
  const broker = options.broker ?? new MemoryBroker({ settingsOf });
  const lines: LogLine[] = [];
  const sessions: Session[] = [];
  let engine: Engine | undefined;
  const gateway = await startGateway({
    host: "127.0.0.1",
    port: options.port ?? 0,
    sharePort: options.sharePort ?? false,
    tls: { cert: "", key: "" },
    workDone: () => counters.requests + counters.roomsOfMany,
    proxies: options.proxies ?? { trusted: [], tell: "x-forwarded-for" },
    ...(options.openFiles === undefined ? {} : { openFiles: options.openFiles }),
    origins: options.origins ?? [],
    limits,
    // A busy machine makes any loop late; only tests of that want to be refused for it.
    gatewayLimits: { ...DEFAULT_GATEWAY_LIMITS, handshakeLagMs: 60_000, ...options.gatewayLimits },
    counters: gatewayCounters,
    log: logInto(lines),
    http: options.http ?? (async () => ({ status: 404, headers: {}, body: "nothing here" })),
    createEngine: (fanout) => {
      engine = new Engine({ node: "rig", broker, fanout, settingsOf, limits, counters });
      const connect = engine.connect.bind(engine);
      engine.connect = (...args) => {
        const session = connect(...args);
        sessions.push(session);
        return session;
      };
      return options.wrapEngine?.(engine) ?? engine;
    },
  });
  t.after(async () => {
    await gateway.close(200);
    if (options.broker === undefined) await broker.stop(200);
  });
  if (engine === undefined) throw new Error("the gateway made no engine");
  const publish = async (room: string, data: unknown, key?: string): Promise<Position> => {
    return await broker.publish({ room: parseRoom(room), data: encode(data), key });
  };
  return { port: gateway.port, gateway, engine, broker, counters, gatewayCounters, lines, sessions, publish };
}

export function logInto(lines: LogLine[]): GatewayLog {
  const at = (level: LogLine["level"]) => (details: object, message: string) => {
    lines.push({ level, details, message });
  };
  return { debug: () => undefined, info: at("info"), warn: at("warn"), error: at("error") };
}

/** Waits until something holds, looking often; for what no event tells. */
export async function eventually(holds: () => boolean, what: string, ms = 5_000): Promise<void> {
  const endMs = Date.now() + ms;
  while (!holds()) {
    if (Date.now() > endMs) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
