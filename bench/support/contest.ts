import type { ClientReply, ClientRequest, Target } from "../load-client.js";
import { Child } from "./child.js";
import { Histogram } from "./histogram.js";
import { type CpuTime, cpuSince, cpuTime } from "./proc.js";
import { publishOverHttp } from "./publisher.js";
import type { PublishPlan } from "./schedule.js";
import type { ServerReply, ServerRequest } from "./server-control.js";

/** The servers that can be measured: programs beside this folder, with what each stands for. */
export const SERVERS = {
  engine: { file: "engine-server.js", args: [] },
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

const START_DEADLINE_MS = 10_000;
const CONNECT_DEADLINE_MS = 60_000;
/** How long after the last publish a delivery may arrive before it counts as missing. */
const DRAIN_DEADLINE_MS = 5_000;

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
  /** Missing, doubled, disordered or refused. Not 0: the window is void. */
  readonly failures: number;
  readonly firstFailures: readonly string[];
}

/** The subscribers' process and what it is asked. */
export class Subscribers {
  readonly child: Child<ClientRequest, ClientReply>;

  constructor({ pin, execArgv = [] }: ProcessOptions) {
    this.child = new Child("load-client.js", { execArgv, core: pin ? CLIENT_CORE : undefined });
  }

  async connect(target: Target): Promise<void> {
    await this.child.ask({ kind: "connect", target }, CONNECT_DEADLINE_MS);
  }

  async disconnect(target: string): Promise<void> {
    await this.child.ask({ kind: "disconnect", target }, CONNECT_DEADLINE_MS);
  }

  /** Publishes a plan through the server and counts what arrives. */
  async window(server: ServerProcess, plan: PublishPlan): Promise<Window> {
    await this.child.ask({ kind: "begin", target: server.name }, START_DEADLINE_MS);
    const serverBefore = cpuTime(server.child.pid);
    const clientBefore = cpuTime(this.child.pid);
    const startedMs = performance.now();
    const heads = await publishOverHttp(server.port, plan);
    const end = { kind: "end", target: server.name, heads, deadlineMs: DRAIN_DEADLINE_MS } as const;
    const seen = await this.child.ask(end, DRAIN_DEADLINE_MS + 5_000);
    if (seen.kind !== "window") throw new Error("the subscribers did not end the window");
    const cpu = cpuSince(server.child.pid, serverBefore);
    const clientCpu = cpuSince(this.child.pid, clientBefore);
    return {
      server: server.name,
      deliveries: seen.messages,
      cpuMicros: cpu.micros / seen.messages,
      cpu,
      clientCpuShare: clientCpu.micros / 1_000 / (performance.now() - startedMs),
      messagesPerFrame: seen.messages / seen.frames,
      readsPerDelivery: seen.reads / seen.messages,
      latency: Histogram.from(seen.latency),
      failures: seen.failures + seen.incomplete,
      firstFailures:
        seen.incomplete > 0 ? [`${seen.incomplete} incomplete`, ...seen.firstFailures] : seen.firstFailures,
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
