import { readFileSync } from "node:fs";

/** Memory that the kernel holds, for the whole host. */
export interface KernelMemory {
  /** Kernel objects: sockets, their files, directory entries, epoll items. */
  readonly slabBytes: number;
  /** Buffers of TCP sockets, as /proc/net/sockstat counts them. */
  readonly tcpBytes: number;
}

const PAGE_BYTES = 4_096;

export function kernelMemory(): KernelMemory {
  return {
    slabBytes: numberIn(readFileSync("/proc/meminfo", "latin1"), /^Slab:\s+(\d+) kB$/m) * 1_024,
    tcpBytes: numberIn(readFileSync("/proc/net/sockstat", "latin1"), /^TCP:.* mem (\d+)$/m) * PAGE_BYTES,
  };
}

/** Events by which connections get lost before a server sees them; the kernel's own names. */
const LISTEN_COUNTERS = [
  "ListenOverflows",
  "ListenDrops",
  "TCPReqQFullDrop",
  "TCPReqQFullDoCookies",
  "TCPMigrateReqSuccess",
  "TCPMigrateReqFailure",
  "TCPAbortOnMemory",
  "TCPTimeouts",
] as const;

export type ListenCounters = Readonly<Record<string, number>>;

/** Running totals since the host's start. */
export function listenCounters(): ListenCounters {
  const [names = "", values = ""] = readFileSync("/proc/net/netstat", "latin1").split("\n");
  const numbers = values.split(" ").map(Number);
  const all = new Map(names.split(" ").map((name, at) => [name, numbers[at] ?? 0]));
  return Object.fromEntries(LISTEN_COUNTERS.map((name) => [name, all.get(name) ?? 0]));
}

/** What moved since then, in words; "none" where nothing did. */
export function listenEventsSince(before: ListenCounters): string {
  const moved = Object.entries(listenCounters())
    .map(([name, value]) => [name, value - (before[name] ?? 0)] as const)
    .filter(([, events]) => events > 0);
  return moved.length === 0 ? "none" : moved.map(([name, events]) => `${name} ${events}`).join(", ");
}

function numberIn(text: string, pattern: RegExp): number {
  const match = pattern.exec(text);
  if (match === null) throw new Error(`no ${pattern} in what the kernel says`);
  return Number(match[1]);
}
