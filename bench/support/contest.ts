import type { AgentReply, AgentRequest } from "../fleet/agent-protocol.js";
import { Fleet } from "../fleet/fleet.js";
import { troubles } from "../fleet/tally.js";
import { Child } from "./child.js";
import type { Histogram } from "./histogram.js";
import { type CpuTime, cpuSince, cpuTime } from "./proc.js";
import { publishOverHttp } from "./publisher.js";
import type { PublishPlan } from "./schedule.js";
import type { ServerReply, ServerRequest } from "./server-control.js";

/** The servers that can be measured: programs beside this folder, with what each stands for. */
export const SERVERS = {
  engine: { file: "engine-server.js", args: [] },
  /** The engine with all sockets of a room written to in one turn of the loop. */
  "one-lane": { file: "engine-server.js", args: ["--limits.lane-sockets=1000000"] },
  /** A publish a message, from outside of any handler: the best that `app.publish` does. */
  bare: { file: "bare-server.js", args: [] },
  /** The same from inside a handler of another socket, where most programs call it. */
  handler: { file: "bare-server.js", args: ["--in-handler"] },
} as const;
export type ServerName = keyof typeof SERVERS;

/** Servers share one core and the subscribers have another, so that neither takes the other's time. */
const SERVER_CORE = 0;
const CLIENT_CORE = 1;

export interface ProcessOptions {
  readonly pin: boolean;
  readonly execArgv?: readonly string[];
}

/** Where a group of subscribers connects and what it subscribes to. */
export interface Target {
  readonly port: number;
  readonly connections: number;
  /** All rooms there are; connection i takes rooms i, i+1, … of them. */
  readonly rooms: number;
  readonly roomsEach: number;
}

const START_DEADLINE_MS = 10_000;
const CONNECT_DEADLINE_MS = 60_000;
/** How long after the last publish a delivery may arrive before it counts as missing. */
const DRAIN_DEADLINE_MS = 5_000;
const POLL_MS = 20;
const PACE = { perSecond: 1_000_000, inFlight: 200 };
/** Servers want a sign of life within 25 s or more. */
const PING_MS = 20_000;

export class ServerProcess {
  readonly name: ServerName;
  readonly child: Child<ServerRequest, ServerReply>;
  #port = 0;

  private constructor(name: ServerName, { pin, execArgv = [] }: ProcessOptions) {
    this.name = name;
    const { file, args } = SERVERS[name];
    this.child = new Child(file, { args, execArgv, core: pin ? SERVER_CORE : undefined });
  }

  static async start(name: ServerName, options: ProcessOptions): Promise<ServerProcess> {
    const server = new ServerProcess(name, options);
    const reply = await server.child.ask(undefined, START_DEADLINE_MS);
    if (reply.kind !== "ready") throw new Error(`${name} said ${reply.kind} instead of ready`);
    server.#port = reply.port;
    return server;
  }

  get port(): number {
    return this.#port;
  }
}

/** What one window of publishing to one server showed. */
export interface Window {
  readonly server: ServerName;
  readonly deliveries: number;
  /** The server's CPU per delivery, publishing included. */
  readonly cpuMicros: number;
  readonly cpu: CpuTime;
  /** Share of one core that the subscribers' process used: near 1 it is the bottleneck, not the server. */
  readonly clientCpuShare: number;
  readonly messagesPerFrame: number;
  readonly readsPerDelivery: number;
  readonly latency: Histogram;
  /** What was missing, doubled, disordered or refused. Not empty: the window is void. */
  readonly troubles: readonly string[];
}

/** Subscribers in one process, for servers that are measured side by side. */
export class Subscribers {
  readonly child: Child<AgentRequest, AgentReply>;
  readonly #fleet: Fleet;

  /** @param group tells several such processes apart: each has source addresses of its own. */
  constructor({ pin, execArgv = [] }: ProcessOptions, group = 0) {
    this.child = new Child("fleet/agent.js", { execArgv, core: pin ? CLIENT_CORE : undefined });
    this.#fleet = new Fleet([this.child], { group });
  }

  /** Resolves when all are subscribed. @throws Error where that takes too long. */
  async connect({ port, connections, rooms, roomsEach }: Target): Promise<void> {
    await this.#fleet.connect({
      host: "127.0.0.1",
      port,
      connections,
      rooms: { rooms, roomsEach, shared: false },
      pace: PACE,
      answerMs: CONNECT_DEADLINE_MS,
      pingMs: PING_MS,
    });
    const isDone = ({ states }: { states: { live: number } }): boolean => states.live === connections;
    const { states } = await this.#fleet.until(isDone, CONNECT_DEADLINE_MS, { pollMs: POLL_MS });
    if (states.live < connections)
      throw new Error(`${states.live} of ${connections} subscribers are live: ${JSON.stringify(states)}`);
  }

  async disconnect(): Promise<void> {
    await this.#fleet.disconnect();
  }

  /** Publishes a plan through the server and counts what arrives. */
  async window(server: ServerProcess, plan: PublishPlan): Promise<Window> {
    await this.#fleet.phase();
    const serverBefore = cpuTime(server.child.pid);
    const clientBefore = cpuTime(this.child.pid);
    const startedMs = performance.now();
    const heads = await publishOverHttp(server.port, plan);
    const { behind } = await this.#fleet.until((status) => status.behind === 0, DRAIN_DEADLINE_MS, {
      heads: () => heads,
      pollMs: POLL_MS,
    });
    const cpu = cpuSince(server.child.pid, serverBefore);
    const clientCpu = cpuSince(this.child.pid, clientBefore);
    const elapsedMs = performance.now() - startedMs;
    const { all: seen } = await this.#fleet.phase();
    const { steady, lost, frames, reads } = seen.counts;
    return {
      server: server.name,
      deliveries: steady,
      cpuMicros: cpu.micros / steady,
      cpu,
      clientCpuShare: clientCpu.micros / 1_000 / elapsedMs,
      messagesPerFrame: steady / frames,
      readsPerDelivery: reads / steady,
      latency: seen.steadyMicros,
      troubles: [
        ...(behind > 0 ? [`${behind} subscriptions did not get to their room's head`] : []),
        ...(lost > 0 ? [`${lost} connections were lost`] : []),
        ...troubles(seen),
      ],
    };
  }
}

/** @throws Error for a name that is no server. */
export function parseServers(list: string): ServerName[] {
  return list.split(",").map((name) => {
    if (isServerName(name)) return name;
    throw new Error(`--servers ${list}: "${name}" is not one of ${Object.keys(SERVERS).join(", ")}`);
  });
}

function isServerName(name: string): name is ServerName {
  return Object.hasOwn(SERVERS, name);
}
