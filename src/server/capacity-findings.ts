import { fileURLToPath } from "node:url";
import type { Facts, KernelSetting } from "./capacity-facts.js";
import {
  connectionLimits,
  connectionsByChance,
  connectionsOfWorker,
  OTHER_FILES,
  processesOf,
  WORKERS_MAX,
} from "./capacity-limits.js";
import type { Config } from "./config-schema.js";

/** Something that bounds connections, or makes many of them worse than they need be. */
export interface Finding {
  /** problem: what is configured cannot be reached. advice: it can, but something would be better. */
  readonly level: "ok" | "advice" | "problem";
  readonly subject: string;
  /** What is in force, and what that means. */
  readonly text: string;
  /** What to do, each a way by itself; none where nothing is to be done. */
  readonly fixes: readonly string[];
  /** How many connections of the whole node it allows, where it bounds them. */
  readonly connections?: number;
}

/** RSS of a process without connections, and what Node needs besides. */
const PROCESS_BYTES = 64 * 1_048_576;
/** An idle connection with three rooms: measured 1.45 KiB of the worker's memory, 4.4 to 4.6 KiB of the kernel's. */
const CONNECTION_BYTES = 6 * 1_024;
/** Of a machine's memory, what is ours; the rest is everybody else's. */
const MEMORY_SHARE = 0.9;
/** More are a worse way to more open files than asking for them: each has memory of its own. */
const WORKERS_A_CORE_MAX = 8;
/** What uSockets asks for, a listener. */
const LISTEN_BACKLOG = 512;
/** Above this many unsent bytes in the kernel, slow clients are noticed late. */
const NOTSENT_BYTES_MAX = 131_072;
const TUNE_SCRIPT = fileURLToPath(new URL("../../scripts/tune-linux.sh", import.meta.url));

/** Everything that is looked at, in the order in which it is shown. */
export function findingsOf(config: Config, facts: Facts): readonly Finding[] {
  return [
    openFiles,
    allOpenFiles,
    memory,
    slowClients,
    networkMemory,
    tracking,
    cores,
    queues,
    unsentBytes,
    dyingWorkers,
  ].flatMap((look) => look(scopeOf(config, facts)) ?? []);
}

/** A number for people: `100,000`. */
export function count(value: number): string {
  return Number.isFinite(value) ? value.toLocaleString("en-US") : "any number";
}

interface Scope {
  readonly config: Config;
  readonly facts: Facts;
  readonly workers: number;
  readonly hubs: number;
  /** `limits.connections`. */
  readonly configured: number;
  /** The first field of a setting of the kernel, or another. */
  readonly kernel: (name: KernelSetting, field?: number) => number | undefined;
  readonly tune: string;
}

function scopeOf(config: Config, facts: Facts): Scope {
  const configured = config.limits.connections;
  return {
    config,
    facts,
    ...processesOf(config, facts),
    configured,
    kernel: (name, field = 0) => facts.kernel[name]?.[field],
    tune: `as root: ${TUNE_SCRIPT} --apply --connections ${configured}`,
  };
}

/** A finding about something that allows so many connections. */
function bound(
  { configured }: Scope,
  connections: number,
  finding: Pick<Finding, "subject" | "text" | "fixes">,
): Finding {
  const { subject, text, fixes } = finding;
  return connections < configured
    ? { level: "problem", subject, text, fixes, connections }
    : { level: "ok", subject, text, fixes: [], connections };
}

function openFiles(scope: Scope): Finding {
  const { config, facts, workers, configured, kernel, tune } = scope;
  const { plainConnections } = config.limits;
  const limits = { connections: Number.POSITIVE_INFINITY, plainConnections };
  const worker = connectionLimits(limits, facts.openFiles).connections;
  const needed = connectionsOfWorker(configured, workers) + plainConnections + OTHER_FILES;
  const first = needed > (kernel("fs.nr_open") ?? needed) ? `${tune}, then ` : "";
  const raise = `${first}ulimit -n ${needed} where fanwire starts (systemd: LimitNOFILE=${needed}, Docker: --ulimit nofile=${needed})`;
  const enough = workersFor(configured, worker, Math.min(WORKERS_MAX, facts.cores * WORKERS_A_CORE_MAX));
  const fixes = [raise, ...(enough === undefined ? [] : [`--workers ${enough}`])];
  const subject = "open files";
  const text =
    `${count(facts.openFiles)} a process, of which ${count(worker)} for sockets; ` +
    `${plural(workers, "worker")}: ${count(worker * workers)} connections`;
  if (worker * workers >= configured && worker < connectionsByChance(configured, workers)) {
    const uneven = `${text}, too close to spread them by chance: some are refused once and come to another worker`;
    return { level: "advice", subject, text: uneven, fixes, connections: worker * workers };
  }
  fixes.push(`--limits.connections ${worker * workers}`);
  return bound(scope, worker * workers, { subject, text, fixes });
}

/** The fewest workers that have room for what may come to one by chance. */
function workersFor(configured: number, worker: number, most: number): number | undefined {
  for (let workers = 1; workers <= most; workers += 1)
    if (connectionsByChance(configured, workers) <= worker) return workers;
  return undefined;
}

/** Of the whole machine. Processes of root are not bound by it, but nobody should count on that. */
function allOpenFiles(scope: Scope): Finding | undefined {
  const { config, workers, hubs, kernel } = scope;
  const most = kernel("fs.file-max");
  if (most === undefined) return undefined;
  const others = workers * config.limits.plainConnections + (1 + workers + hubs) * OTHER_FILES;
  return bound(scope, Math.max(0, most - others), {
    subject: "all open files",
    text: `fs.file-max is ${count(most)} for the whole machine`,
    fixes: [scope.tune],
  });
}

function memory(scope: Scope): Finding {
  const { config, workers, hubs } = scope;
  const { ringBytes } = config.limits;
  const caches = workers * ringBytes + config.memory.bytes;
  const fixed = (1 + workers + hubs) * PROCESS_BYTES + caches;
  const budget = memoryBudget(scope.facts);
  const connections = Math.max(0, Math.floor((budget - fixed) / CONNECTION_BYTES));
  return bound(scope, connections, {
    subject: "memory",
    text:
      `${mib(budget)} may be used; processes, history and rings grow to ${mib(fixed)}, ` +
      `the rest holds ${count(connections)} idle connections of 6 KiB`,
    fixes: [
      "more memory",
      `lower memory.bytes or, of each worker, limits.ringBytes (${mib(caches)} in all)`,
      `--limits.connections ${Math.max(1, connections)}`,
    ],
  });
}

/** The worst case, which is no condition: not everybody stops reading at once. */
function slowClients({ config, facts, configured, kernel }: Scope): Finding {
  const own = configured * config.limits.bufferBytes;
  const kernels = (kernel("net.ipv4.tcp_mem", 2) ?? 0) * facts.pageBytes;
  const fits = own + kernels <= memoryBudget(facts);
  return {
    level: fits ? "ok" : "advice",
    subject: "worst case",
    text:
      `if all clients stopped reading at once, ${mib(own)} would wait in fanwire (limits.bufferBytes), and at most ${mib(kernels)} in ` +
      `the kernel (net.ipv4.tcp_mem)${fits ? "" : `: more than the ${mib(memoryBudget(facts))} that may be used`}`,
    fixes: fits ? [] : ["be aware of it", "lower limits.bufferBytes or limits.connections", "more memory"],
  };
}

function networkMemory({ configured, facts, kernel, tune }: Scope): Finding | undefined {
  const pressure = kernel("net.ipv4.tcp_mem", 1);
  if (pressure === undefined || pressure >= configured) return undefined;
  return {
    level: "advice",
    subject: "network memory",
    text:
      `net.ipv4.tcp_mem lets ${mib(pressure * facts.pageBytes)} wait in the kernel before it slows everything down: ` +
      `a message to ${count(pressure)} of ${count(configured)} connections at once`,
    fixes: [tune],
  };
}

function tracking(scope: Scope): Finding | undefined {
  const most = scope.kernel("net.netfilter.nf_conntrack_max");
  // Loaded is not used: no rule needs it, so nothing is tracked.
  if (most === undefined || (scope.kernel("net.netfilter.nf_conntrack_count") ?? 0) === 0) return undefined;
  return bound(scope, most, {
    subject: "tracked connections",
    text: `a firewall tracks connections, net.netfilter.nf_conntrack_max is ${count(most)}`,
    fixes: [scope.tune, "rules that do not track this port"],
  });
}

function cores({ facts, workers }: Scope): Finding {
  const quota = Math.min(facts.cores, facts.cpuQuota);
  const text = Number.isFinite(facts.cpuQuota)
    ? `${plural(workers, "worker")}, ${plural(facts.cores, "core")}, of which the control group allows ${quota}`
    : `${plural(workers, "worker")}, ${plural(facts.cores, "core")}`;
  // More workers than cores have more files; they share the cores well, but not a quota, which stops all of them.
  const throttled = facts.cpuQuota < facts.cores && workers > Math.ceil(facts.cpuQuota);
  const fixes = throttled ? [`--workers ${Math.max(1, Math.ceil(quota))}`] : [];
  return { level: throttled ? "advice" : "ok", subject: "cores", text, fixes };
}

function queues({ kernel, tune }: Scope): Finding | undefined {
  const accept = kernel("net.core.somaxconn");
  if (accept === undefined) return undefined;
  // Linux looks at the other one only without cookies, and then uses three quarters of it.
  const cookies = kernel("net.ipv4.tcp_syncookies") !== 0;
  const halfOpen = cookies
    ? accept
    : Math.floor(((kernel("net.ipv4.tcp_max_syn_backlog") ?? accept) * 3) / 4);
  const waiting = Math.min(accept, halfOpen, LISTEN_BACKLOG);
  const short = waiting < LISTEN_BACKLOG;
  const culprit = accept < LISTEN_BACKLOG ? "net.core.somaxconn" : "net.ipv4.tcp_max_syn_backlog";
  return {
    level: short ? "advice" : "ok",
    subject: "waiting connections",
    text: `${count(waiting)} a worker may wait to be accepted${short ? `, because of ${culprit}; fanwire asks for ${LISTEN_BACKLOG}` : ""}`,
    fixes: short ? [tune] : [],
  };
}

function unsentBytes({ kernel, tune }: Scope): Finding | undefined {
  const unsent = kernel("net.ipv4.tcp_notsent_lowat");
  if (unsent === undefined) return undefined;
  const late = unsent > NOTSENT_BYTES_MAX;
  return {
    level: late ? "advice" : "ok",
    subject: "slow clients",
    text: late
      ? "the kernel takes about 4 MB for a client that reads nothing before fanwire notices; " +
        "with net.ipv4.tcp_notsent_lowat at 16384 it is 0.15 MB"
      : `net.ipv4.tcp_notsent_lowat is ${count(unsent)}: they are noticed soon`,
    fixes: late ? [tune] : [],
  };
}

function dyingWorkers({ workers, kernel, tune }: Scope): Finding | undefined {
  const migrate = kernel("net.ipv4.tcp_migrate_req");
  if (workers === 1 || migrate === undefined) return undefined;
  return {
    level: migrate === 0 ? "advice" : "ok",
    subject: "dying workers",
    text:
      migrate === 0
        ? "connections that wait at a worker that dies are reset; with net.ipv4.tcp_migrate_req at 1 the others take them"
        : "connections that wait at a worker that dies go to the others (net.ipv4.tcp_migrate_req)",
    fixes: migrate === 0 ? [tune] : [],
  };
}

/** The machine's less what others need, or what the control group allows. */
function memoryBudget({ memoryBytes, cgroupMemoryBytes }: Facts): number {
  return Math.min(memoryBytes * MEMORY_SHARE, cgroupMemoryBytes);
}

function mib(bytes: number): string {
  return `${count(Math.round(bytes / 1_048_576))} MiB`;
}

function plural(number: number, noun: string): string {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}
