import type { Facts } from "./capacity-facts.js";
import type { Config } from "./config-schema.js";

/** Open files of a process that are neither sockets of clients nor their queue: listeners, links, logs, files. */
export const OTHER_FILES = 64;
/** Of the files, where they do not suffice for both: those for connections that are no WebSocket, or not yet. */
const PLAIN_SHARE = 1 / 5;
/** How much more than its even share a worker takes. */
const SLACK = 1 / 4;

/** As the configuration's schema has it. */
export const WORKERS_MAX = 256;

/** How many connections one process takes. */
export interface ConnectionLimits {
  /** WebSockets. */
  readonly connections: number;
  /** Connections that are no WebSocket (yet). */
  readonly plainConnections: number;
}

/**
 * The most WebSockets that one of so many workers takes, where all of them together are to hold `connections`: the even
 * share and a quarter more, never more than `connections`. The kernel spreads by a hash of the address, so shares differ
 * by chance (in few connections more than in many), and after a worker was replaced for longer: those that lost it come
 * to all others. Who is refused comes from another port next time, and so most likely to another worker.
 */
export function connectionsOfWorker(connections: number, workers: number): number {
  const quarterMore = Math.ceil((1 + SLACK) * Math.ceil(connections / workers));
  return Math.min(connections, Math.max(quarterMore, connectionsByChance(connections, workers)));
}

/** What one of so many workers may get by chance alone: four standard deviations above the even share. */
export function connectionsByChance(connections: number, workers: number): number {
  const even = Math.ceil(connections / workers);
  return Math.min(connections, even + Math.ceil(4 * Math.sqrt(even)));
}

/**
 * Handshakes a second of one of so many workers: all of what is configured where it has a core of its own, else its
 * share of one, so that a storm leaves those who are connected the same part of the machine. At least 1.
 */
export function handshakesOfWorker(perSecond: number, workers: number, cores: Cores): number {
  return Math.max(1, Math.floor(perSecond * Math.min(1, usableCores(cores) / workers)));
}

/**
 * What a process may open bounds what it takes: above that a connection could not even be refused, and the listener would
 * turn in circles. At least 1 of either kind; what is configured where that fits.
 * @param configured for this process, see {@link connectionsOfWorker}
 * @param openFiles how many files and sockets it may have open; may be Infinity
 */
export function connectionLimits(configured: ConnectionLimits, openFiles: number): ConnectionLimits {
  const { connections, plainConnections: plain } = configured;
  const files = openFiles - OTHER_FILES;
  if (connections + plain <= files) return { connections, plainConnections: plain };
  const plainConnections = Math.max(1, Math.min(plain, Math.floor(files * PLAIN_SHARE)));
  return { connections: Math.max(1, Math.min(connections, files - plainConnections)), plainConnections };
}

type Cores = Pick<Facts, "cores" | "cpuQuota">;

function usableCores({ cores, cpuQuota }: Cores): number {
  return Math.max(1, Math.min(cores, Math.ceil(cpuQuota)));
}

/** How many processes serve, besides the supervisor. */
export interface Processes {
  readonly workers: number;
  readonly hubs: number;
}

/** What `auto` stands for: a worker a core, or fewer where the control group allows less; a hub where there are several. */
export function processesOf({ workers, hubs }: Pick<Config, "workers" | "hubs">, cores: Cores): Processes {
  const count = workers === "auto" ? Math.min(usableCores(cores), WORKERS_MAX) : workers;
  return { workers: count, hubs: hubs === "auto" ? Number(count > 1) : hubs };
}
