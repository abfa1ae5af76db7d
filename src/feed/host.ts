import { readFileSync } from "node:fs";
import {
  type CpuTimes,
  type Disk,
  type Interface,
  parseDisks,
  parseInterfaces,
  parseLoad,
  parseMeminfo,
  parsePressure,
  parseStat,
  parseTcp,
  type Stat,
  type Tcp,
} from "./proc.js";
import type { FeedMessage } from "./publisher.js";

/** Rates are over this many samples: the kernel counts CPU time in steps of 10 ms, too coarse for 100 ms alone. */
const WINDOW_SAMPLES = 10;

const RESOURCES = ["cpu", "memory", "io"] as const;

interface Sample {
  readonly atMs: number;
  readonly stat: Stat;
  readonly memory: ReadonlyMap<string, number>;
  readonly load: readonly [number, number, number];
  readonly interfaces: readonly Interface[];
  readonly tcp: Tcp;
  readonly disks: readonly Disk[];
  /** Undefined on a kernel without pressure stall information. */
  readonly stalledUs: readonly number[] | undefined;
}

/** Text of a file under /proc, or undefined where there is none. */
export type ReadProc = (path: string) => string | undefined;

/**
 * This host's telemetry, one message a room, keyed by the host's name so that several hosts can share the rooms.
 * Rates are means over the last second.
 */
export class Host {
  readonly #key: string;
  readonly #read: ReadProc;
  readonly #samples: Sample[] = [];

  constructor(key: string, read: ReadProc = readProc) {
    this.#key = key;
    this.#read = read;
  }

  /** Takes a sample; the first one has nothing to compare with and gives no message. */
  sample(nowMs: number): FeedMessage[] {
    const now = this.#take(nowMs);
    const before = this.#samples[0];
    this.#samples.push(now);
    if (this.#samples.length > WINDOW_SAMPLES) this.#samples.shift();
    if (before === undefined) return [];
    const perSecond = 1_000 / Math.max(1, now.atMs - before.atMs);
    const rooms: [string, unknown][] = [
      ["host.cpu", cpu(before, now, perSecond)],
      ["host.memory", memory(now)],
      ["host.network", network(before, now, perSecond)],
      ["host.disk", disk(before, now, perSecond)],
    ];
    const stalls = pressure(before, now, perSecond);
    if (stalls !== undefined) rooms.push(["host.pressure", stalls]);
    return rooms.map(([room, data]) => ({ room, key: this.#key, data }));
  }

  #take(atMs: number): Sample {
    const read = (path: string): string => this.#read(path) ?? "";
    const stalls = RESOURCES.map((resource) => this.#read(`/proc/pressure/${resource}`));
    return {
      atMs,
      stat: parseStat(read("/proc/stat")),
      memory: parseMeminfo(read("/proc/meminfo")),
      load: parseLoad(read("/proc/loadavg")),
      interfaces: parseInterfaces(read("/proc/net/dev")),
      tcp: parseTcp(read("/proc/net/snmp")),
      disks: parseDisks(read("/proc/diskstats")),
      stalledUs: stalls.includes(undefined) ? undefined : stalls.map((text) => parsePressure(text ?? "")),
    };
  }
}

/** Shares are of 1; `cores` in the kernel's order. */
function cpu(before: Sample, now: Sample, perSecond: number) {
  const all = shares(before.stat.all, now.stat.all);
  return {
    busy: all.busy,
    user: all.user,
    system: all.system,
    iowait: all.iowait,
    steal: all.steal,
    cores: now.stat.cores.map((core, index) => shares(before.stat.cores[index] ?? core, core).busy),
    load: now.load,
    running: now.stat.running,
    blocked: now.stat.blocked,
    switches: Math.round((now.stat.switches - before.stat.switches) * perSecond),
    forks: Math.round((now.stat.forks - before.stat.forks) * perSecond),
  };
}

function memory(now: Sample) {
  const bytes = (name: string): number => now.memory.get(name) ?? 0;
  const total = bytes("MemTotal");
  return {
    total,
    used: total - bytes("MemAvailable"),
    cached: bytes("Cached") + bytes("Buffers") + bytes("SReclaimable"),
    dirty: bytes("Dirty"),
    swapTotal: bytes("SwapTotal"),
    swapUsed: bytes("SwapTotal") - bytes("SwapFree"),
  };
}

/** Bytes and packets a second. `loopback` apart: what processes of this host say to each other. */
function network(before: Sample, now: Sample, perSecond: number) {
  const rate = (pick: (one: Interface) => number, loopback: boolean): number =>
    growth(sum(before.interfaces, pick, loopback), sum(now.interfaces, pick, loopback), perSecond);
  return {
    rx: rate((one) => one.rxBytes, false),
    tx: rate((one) => one.txBytes, false),
    rxPackets: rate((one) => one.rxPackets, false),
    txPackets: rate((one) => one.txPackets, false),
    loopback: rate((one) => one.txBytes, true),
    faults: rate((one) => one.faults, false),
    connections: now.tcp.established,
    segments: growth(before.tcp.sentSegments, now.tcp.sentSegments, perSecond),
    retransmits: growth(before.tcp.retransmits, now.tcp.retransmits, perSecond),
  };
}

/** Bytes and requests a second; `busy` is the busiest disk's share of the time with a request under way. */
function disk(before: Sample, now: Sample, perSecond: number) {
  const rate = (pick: (one: Disk) => number): number =>
    growth(
      before.disks.reduce((total, one) => total + pick(one), 0),
      now.disks.reduce((total, one) => total + pick(one), 0),
      perSecond,
    );
  const busy = now.disks.map((one) => {
    const earlier = before.disks.find((other) => other.name === one.name) ?? one;
    return ((one.busyMs - earlier.busyMs) / 1_000) * perSecond;
  });
  return {
    read: rate((one) => one.readBytes),
    written: rate((one) => one.writtenBytes),
    reads: rate((one) => one.reads),
    writes: rate((one) => one.writes),
    busy: share(Math.max(0, ...busy)),
  };
}

/** Share of the time in which at least one task stood still for want of CPU, memory or disk. */
function pressure(before: Sample, now: Sample, perSecond: number) {
  const { stalledUs } = now;
  if (stalledUs === undefined || before.stalledUs === undefined) return undefined;
  const stalled = (index: number): number =>
    share((((stalledUs[index] ?? 0) - (before.stalledUs?.[index] ?? 0)) / 1_000_000) * perSecond);
  return { cpu: stalled(0), memory: stalled(1), io: stalled(2) };
}

function shares(before: CpuTimes, now: CpuTimes) {
  const user = now.user - before.user;
  const system = now.system - before.system;
  // The kernel's idle and iowait may step back.
  const iowait = Math.max(0, now.iowait - before.iowait);
  const idle = Math.max(0, now.idle - before.idle);
  const steal = now.steal - before.steal;
  const all = Math.max(1, user + system + iowait + steal + idle);
  return {
    busy: share((user + system) / all),
    user: share(user / all),
    system: share(system / all),
    iowait: share(iowait / all),
    steal: share(steal / all),
  };
}

function sum(interfaces: readonly Interface[], pick: (one: Interface) => number, loopback: boolean): number {
  return interfaces
    .filter((one) => (one.name === "lo") === loopback)
    .reduce((total, one) => total + pick(one), 0);
}

/** Of a counter; an interface or disk that went away makes it smaller, which is no negative rate. */
function growth(before: number, now: number, perSecond: number): number {
  return Math.max(0, Math.round((now - before) * perSecond));
}

/** Clamped to 0…1, three decimals: more is noise. */
function share(value: number): number {
  return Math.round(Math.min(1, Math.max(0, value)) * 1_000) / 1_000;
}

function readProc(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // A kernel without this file, or a sandbox that hides it.
    return undefined;
  }
}
