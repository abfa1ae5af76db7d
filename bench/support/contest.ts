import type { AgentReply, AgentRequest } from "../fleet/agent-protocol.js";
import { Fleet } from "../fleet/fleet.js";
import { troubles } from "../fleet/tally.js";
import { Child } from "./child.js";
import { type EngineAddress, engineAt } from "./engine-url.js";
import type { Histogram } from "./histogram.js";
import { type CpuTime, cpuSince, cpuTime, residentBytes } from "./proc.js";
import { publishOverHttp } from "./publisher.js";
import { BadOption } from "./scenario.js";
import type { PublishPlan } from "./schedule.js";
import type { ServerReply, ServerRequest } from "./server-control.js";
import { busyClient } from "./validity.js";

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
export type KnownServer = keyof typeof SERVERS;
/** "url": an engine that somebody has started, measured from outside. */
export type ServerName = KnownServer | "url";

/** Servers share one core and the subscribers have another, so that neither takes the other's time. */
const SERVER_CORE = 0;
const CLIENT_CORE = 1;

export interface ProcessOptions {
  readonly pin: boolean;
  readonly execArgv?: readonly string[];
  /** Settings of the server's, besides those that it always has. */
  readonly args?: readonly string[];
}

export interface SubscribersOptions extends ProcessOptions {
  /** Tells several such processes apart: each has source addresses of its own. Default: 0. */
  readonly group?: number;
  /** Client processes at agents elsewhere instead of one of ours. */
  readonly remote?: Fleet | undefined;
  /** Share of the time that the process is kept from running, to see what becomes of such a run. Default: 0. */
  readonly starve?: number;
}

/** Where a group of subscribers connects and what it subscribes to. */
export interface Target {
  readonly server: ServerProcess;
  readonly connections: number;
  /** All rooms there are; connection i takes rooms i, i+1, … of them. */
  readonly rooms: number;
  readonly roomsEach: number;
  /** Number of the first room. Default: 0. */
  readonly firstRoom?: number;
}

const START_DEADLINE_MS = 10_000;
/** In which so many connections must be live: on a machine that others use, too. */
const connectDeadlineMs = (connections: number): number => 10_000 + 5 * connections;
/** How long after the last publish a delivery may arrive before it counts as missing. */
const DRAIN_DEADLINE_MS = 5_000;
const POLL_MS = 20;
const PACE = { perSecond: 1_000_000, inFlight: 200 };
/** Servers want a sign of life within 25 s or more. */
const PING_MS = 20_000;

export class ServerProcess {
  readonly name: ServerName;
  readonly #child: Child<ServerRequest, ServerReply> | undefined;
  #address: EngineAddress = { host: "127.0.0.1", port: 0 };

  private constructor(name: ServerName, child: Child<ServerRequest, ServerReply> | undefined) {
    this.name = name;
    this.#child = child;
  }

  static async start(name: KnownServer, options: ProcessOptions): Promise<ServerProcess> {
    const { pin, execArgv = [], args = [] } = options;
    const known = SERVERS[name];
    const child = new Child<ServerRequest, ServerReply>(known.file, {
      args: [...known.args, ...args],
      execArgv,
      core: pin ? SERVER_CORE : undefined,
    });
    const server = new ServerProcess(name, child);
    const reply = await child.ask(undefined, START_DEADLINE_MS);
    if (reply.kind !== "ready") throw new Error(`${name} said ${reply.kind} instead of ready`);
    server.#address = { host: "127.0.0.1", port: reply.port };
    return server;
  }

  /** Those of a list of names, or the one at `url` where that is not "". */
  static async startAll(names: string, url: string, options: ProcessOptions): Promise<ServerProcess[]> {
    if (url !== "") return [await ServerProcess.at(url)];
    const started: ServerProcess[] = [];
    try {
      for (const name of parseServers(names)) started.push(await ServerProcess.start(name, options));
    } catch (cause) {
      await Promise.all(started.map((server) => server.stop()));
      throw cause;
    }
    return started;
  }

  /** An engine that runs already: of it there is no CPU time. @throws Error, see {@link engineAt}. */
  static async at(url: string): Promise<ServerProcess> {
    const server = new ServerProcess("url", undefined);
    server.#address = await engineAt(url);
    return server;
  }

  /** @throws Error for an engine that is not ours. */
  get child(): Child<ServerRequest, ServerReply> {
    if (this.#child === undefined) throw new Error("the engine at --url is no process of this bench");
    return this.#child;
  }

  get host(): string {
    return this.#address.host;
  }

  get port(): number {
    return this.#address.port;
  }

  /** What it has used so far; undefined where it is not ours. */
  cpu(): CpuTime | undefined {
    return this.#child === undefined ? undefined : cpuTime(this.#child.pid);
  }

  residentBytes(): number | undefined {
    return this.#child === undefined ? undefined : residentBytes(this.#child.pid);
  }

  async stop(): Promise<void> {
    await this.#child?.stop();
  }
}

/** What one window of publishing to one server showed. */
export interface Window {
  readonly server: ServerName;
  readonly deliveries: number;
  /** The server's CPU per delivery, publishing included; NaN for an engine that is not ours. */
  readonly cpuMicros: number;
  /** Share of it that the kernel took. */
  readonly systemShare: number;
  /** Share of one core that the subscribers' process used; NaN where it is not ours. */
  readonly clientCpuShare: number;
  /** Share of the time that it was busy or kept from its core: near 1 it is the bottleneck, see {@link busyClient}. */
  readonly clientBusy: number;
  readonly messagesPerFrame: number;
  readonly readsPerDelivery: number;
  /** As clients read them, WebSocket's own included, TCP's not. */
  readonly bytesPerDelivery: number;
  readonly latency: Histogram;
  /** From a broadcast's due time to its last delivery. */
  readonly last: Histogram;
  /** How much later than it was set for a timer of the clients' own came. */
  readonly clientDelay: Histogram;
  /** What was missing, doubled, disordered or refused. Not empty: the window is void. */
  readonly troubles: readonly string[];
}

/** Subscribers in one process of ours, for servers that are measured side by side, or in those of a fleet elsewhere. */
export class Subscribers {
  /** undefined: they are elsewhere. */
  readonly #pid: number | undefined;
  readonly #fleet: Fleet;
  readonly #starve: number;

  constructor({ pin, execArgv = [], group = 0, starve = 0, remote }: SubscribersOptions) {
    this.#starve = starve;
    if (remote !== undefined) {
      this.#fleet = remote;
      return;
    }
    const core = pin ? CLIENT_CORE : undefined;
    const child = new Child<AgentRequest, AgentReply>("fleet/agent.js", { execArgv, core });
    this.#pid = child.pid;
    this.#fleet = new Fleet([child], { group });
  }

  async stop(): Promise<void> {
    await this.#fleet.stop();
  }

  /** Resolves when all are subscribed. @throws Error where that takes too long. */
  async connect({ server, connections, rooms, roomsEach, firstRoom = 0 }: Target): Promise<void> {
    await this.#fleet.connect({
      host: server.host,
      port: server.port,
      connections,
      rooms: { rooms, roomsEach, shared: false, firstRoom },
      pace: PACE,
      answerMs: connectDeadlineMs(connections),
      pingMs: PING_MS,
    });
    await this.#everybodyLive(connections);
  }

  async disconnect(): Promise<void> {
    await this.#fleet.disconnect();
  }

  /** Cuts some of all and waits until they are back; how many it was. @throws Error where that takes too long. */
  async renew(some: number, all: number): Promise<number> {
    if (some === 0) return 0;
    const cut = await this.#fleet.cut(some);
    await this.#everybodyLive(all);
    return cut;
  }

  async #everybodyLive(connections: number): Promise<void> {
    const isDone = ({ states }: { states: { live: number } }): boolean => states.live === connections;
    const { states } = await this.#fleet.until(isDone, connectDeadlineMs(connections), { pollMs: POLL_MS });
    if (states.live < connections)
      throw new Error(`${states.live} of ${connections} subscribers are live: ${JSON.stringify(states)}`);
  }

  /** Publishes a plan through the server and counts what arrives. */
  async window(server: ServerProcess, plan: PublishPlan): Promise<Window> {
    await this.#fleet.phase();
    const serverBefore = server.cpu();
    const clientBefore = this.#pid === undefined ? undefined : cpuTime(this.#pid);
    const startedMs = performance.now();
    const starving =
      this.#starve > 0 && this.#pid !== undefined ? starve(this.#pid, this.#starve) : undefined;
    const heads = await publishOverHttp(server, plan);
    const { behind } = await this.#fleet.until((status) => status.behind === 0, DRAIN_DEADLINE_MS, {
      heads: () => heads,
      pollMs: POLL_MS,
    });
    const serverAfter = server.cpu();
    const clientMicros =
      this.#pid === undefined || clientBefore === undefined
        ? Number.NaN
        : cpuSince(this.#pid, clientBefore).micros;
    const elapsedMs = performance.now() - startedMs;
    const { all: seen } = await this.#fleet.phase();
    starving?.end();
    const { steady, lost, frames, reads, bytes } = seen.counts;
    return {
      server: server.name,
      deliveries: steady,
      ...costOf(serverBefore, serverAfter, steady),
      clientCpuShare: clientMicros / 1_000 / elapsedMs,
      clientBusy: seen.busiest,
      messagesPerFrame: steady / frames,
      readsPerDelivery: reads / steady,
      bytesPerDelivery: bytes / steady,
      latency: seen.steadyMicros,
      last: seen.lasts.histogram(),
      clientDelay: seen.delayMicros,
      troubles: [
        ...(behind > 0 ? [`${behind} subscriptions did not get to their room's head`] : []),
        ...(lost > 0 ? [`${lost} connections were lost`] : []),
        ...troubles(seen),
      ],
    };
  }

  /** What makes these windows say nothing of the server; empty: nothing does. */
  static invalid(windows: readonly Pick<Window, "clientBusy">[]): string[] {
    const worst = windows.reduce((most, { clientBusy }) => Math.max(most, clientBusy), 0);
    return busyClient(worst);
  }
}

function costOf(
  before: CpuTime | undefined,
  after: CpuTime | undefined,
  deliveries: number,
): Pick<Window, "cpuMicros" | "systemShare"> {
  if (before === undefined || after === undefined) return { cpuMicros: Number.NaN, systemShare: Number.NaN };
  const system = after.systemMicros - before.systemMicros;
  return {
    cpuMicros: (after.micros - before.micros) / deliveries,
    systemShare: system / (system + after.userMicros - before.userMicros),
  };
}

const STARVE_PERIOD_MS = 500;

/** Stops the process for that share of every period, until it is ended. */
function starve(pid: number, share: number): { end(): void } {
  let resume: NodeJS.Timeout | undefined;
  const go = (): boolean => process.kill(pid, "SIGCONT");
  const stop = (): void => {
    process.kill(pid, "SIGSTOP");
    resume = setTimeout(go, STARVE_PERIOD_MS * share);
  };
  stop();
  const timer = setInterval(stop, STARVE_PERIOD_MS);
  return {
    end: () => {
      clearInterval(timer);
      clearTimeout(resume);
      go();
    },
  };
}

/** @throws Error for a name that is no server. */
export function parseServers(list: string): KnownServer[] {
  return list.split(",").map((name) => {
    if (isServerName(name)) return name;
    throw new BadOption(`--servers ${list}: "${name}" is not one of ${Object.keys(SERVERS).join(", ")}`);
  });
}

function isServerName(name: string): name is KnownServer {
  return Object.hasOwn(SERVERS, name);
}
