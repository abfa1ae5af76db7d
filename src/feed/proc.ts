/** Kernel ticks since boot, each a sum of the columns that an operator reads as one. */
export interface CpuTimes {
  readonly user: number;
  readonly system: number;
  readonly iowait: number;
  readonly steal: number;
  readonly idle: number;
}

export interface Stat {
  readonly all: CpuTimes;
  readonly cores: readonly CpuTimes[];
  readonly switches: number;
  readonly forks: number;
  readonly running: number;
  readonly blocked: number;
}

export interface Interface {
  readonly name: string;
  readonly rxBytes: number;
  readonly rxPackets: number;
  readonly txBytes: number;
  readonly txPackets: number;
  /** Errors and drops of both directions. */
  readonly faults: number;
}

export interface Disk {
  readonly name: string;
  readonly reads: number;
  readonly readBytes: number;
  readonly writes: number;
  readonly writtenBytes: number;
  /** Milliseconds with at least one request under way. */
  readonly busyMs: number;
}

export interface Tcp {
  readonly established: number;
  readonly sentSegments: number;
  readonly retransmits: number;
}

/** /proc/stat. @throws Error where it has no line of all processors. */
export function parseStat(text: string): Stat {
  let all: CpuTimes | undefined;
  const cores: CpuTimes[] = [];
  const single = new Map<string, number>();
  for (const [name = "", ...rest] of rows(text)) {
    if (name === "cpu") all = cpuTimes(rest);
    else if (name.startsWith("cpu")) cores.push(cpuTimes(rest));
    else single.set(name, count(rest[0]));
  }
  if (all === undefined) throw new Error("/proc/stat has no line cpu");
  return {
    all,
    cores,
    switches: single.get("ctxt") ?? 0,
    forks: single.get("processes") ?? 0,
    running: single.get("procs_running") ?? 0,
    blocked: single.get("procs_blocked") ?? 0,
  };
}

/** /proc/meminfo in bytes, by the kernel's names. */
export function parseMeminfo(text: string): ReadonlyMap<string, number> {
  return new Map(rows(text).map(([name = "", value]) => [name.replace(/:$/, ""), count(value) * 1_024]));
}

/** /proc/loadavg: over 1, 5 and 15 minutes. */
export function parseLoad(text: string): readonly [number, number, number] {
  const [one, five, fifteen] = text.split(" ");
  return [count(one), count(five), count(fifteen)];
}

/** /proc/net/dev. */
export function parseInterfaces(text: string): Interface[] {
  return text
    .split("\n")
    .filter((line) => line.includes(":"))
    .map((line) => {
      const colon = line.indexOf(":");
      const cells = line
        .slice(colon + 1)
        .trim()
        .split(/\s+/);
      return {
        name: line.slice(0, colon).trim(),
        rxBytes: count(cells[0]),
        rxPackets: count(cells[1]),
        txBytes: count(cells[8]),
        txPackets: count(cells[9]),
        faults: count(cells[2]) + count(cells[3]) + count(cells[10]) + count(cells[11]),
      };
    });
}

/** The Tcp lines of /proc/net/snmp: one of names, one of values. */
export function parseTcp(text: string): Tcp {
  const [names = [], values = []] = rows(text).filter(([name]) => name === "Tcp:");
  const value = (name: string): number => count(values[names.indexOf(name)]);
  return {
    established: value("CurrEstab"),
    sentSegments: value("OutSegs"),
    retransmits: value("RetransSegs"),
  };
}

// Whole disks: a partition or a device on top of one would be counted twice.
const WHOLE_DISK = /^(?:[svh]d[a-z]+|xvd[a-z]+|nvme\d+n\d+|mmcblk\d+)$/;
const SECTOR_BYTES = 512;

/** /proc/diskstats, whole disks only. */
export function parseDisks(text: string): Disk[] {
  return rows(text)
    .filter(([, , name = ""]) => WHOLE_DISK.test(name))
    .map((cells) => ({
      name: cells[2] ?? "",
      reads: count(cells[3]),
      readBytes: count(cells[5]) * SECTOR_BYTES,
      writes: count(cells[7]),
      writtenBytes: count(cells[9]) * SECTOR_BYTES,
      busyMs: count(cells[12]),
    }));
}

/** /proc/pressure/*: microseconds since boot in which at least one task stood still for want of the resource. */
export function parsePressure(text: string): number {
  return count(/^some .*total=(\d+)/m.exec(text)?.[1]);
}

function rows(text: string): string[][] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.trim().split(/\s+/));
}

function cpuTimes(cells: readonly string[]): CpuTimes {
  const [user, nice, system, idle, iowait, irq, softirq, steal] = cells.map(count);
  return {
    user: (user ?? 0) + (nice ?? 0),
    system: (system ?? 0) + (irq ?? 0) + (softirq ?? 0),
    iowait: iowait ?? 0,
    steal: steal ?? 0,
    idle: idle ?? 0,
  };
}

/** Older kernels have fewer columns: what is not there counts as 0. */
function count(cell: string | undefined): number {
  const value = Number(cell);
  return Number.isFinite(value) ? value : 0;
}
