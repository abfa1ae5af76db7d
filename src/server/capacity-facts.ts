import { readFileSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { parseOpenFilesMax } from "./open-files.js";

/** Settings of the Linux kernel that bound connections, as `sysctl` names them. */
const KERNEL_SETTINGS = [
  "fs.nr_open",
  "fs.file-max",
  "net.core.somaxconn",
  "net.ipv4.tcp_syncookies",
  "net.ipv4.tcp_max_syn_backlog",
  "net.ipv4.tcp_migrate_req",
  "net.ipv4.tcp_notsent_lowat",
  "net.ipv4.tcp_mem",
  "net.netfilter.nf_conntrack_max",
  "net.netfilter.nf_conntrack_count",
] as const;

export type KernelSetting = (typeof KERNEL_SETTINGS)[number];

/** What is in force on this machine for this process. Infinity: no bound, or not known. */
export interface Facts {
  /** Cores that this process may use. */
  readonly cores: number;
  /** CPU time that its control group allows, in cores. */
  readonly cpuQuota: number;
  /** Memory of the machine. */
  readonly memoryBytes: number;
  /** Memory that its control group allows. */
  readonly cgroupMemoryBytes: number;
  /** Files and sockets that a process may have open. */
  readonly openFiles: number;
  /** Bytes of a page, the unit of `net.ipv4.tcp_mem`. */
  readonly pageBytes: number;
  /** The fields of each setting; none where the kernel has no such setting, or does not show it here. */
  readonly kernel: Readonly<Partial<Record<KernelSetting, readonly number[]>>>;
}

/**
 * Reads what is in force; what cannot be read counts as no bound. Never throws.
 * @param root the folder that has `proc` and `sys`
 */
export function readFacts(root = "/"): Facts {
  const read: Read = (path) => readBytes(join(root, path))?.toString("utf8");
  const groups = read("proc/self/cgroup") ?? "";
  return Object.freeze({
    cores: availableParallelism(),
    cpuQuota: cpuQuota(read, groups),
    memoryBytes: memoryBytes(read("proc/meminfo")) ?? totalmem(),
    cgroupMemoryBytes: cgroupMemory(read, groups),
    openFiles: parseOpenFilesMax(read("proc/self/limits") ?? ""),
    pageBytes: pageBytes(readBytes(join(root, "proc/self/auxv"))),
    kernel: Object.freeze(kernelSettings(read)),
  });
}

type Read = (path: string) => string | undefined;

const NO_BOUND = Number.POSITIVE_INFINITY;

function kernelSettings(read: Read): Facts["kernel"] {
  const settings: Partial<Record<KernelSetting, readonly number[]>> = {};
  for (const name of KERNEL_SETTINGS) {
    const fields = numbers(read(`proc/sys/${name.replaceAll(".", "/")}`));
    if (fields.length > 0) settings[name] = Object.freeze(fields);
  }
  return settings;
}

function memoryBytes(meminfo = ""): number | undefined {
  const kib = /^MemTotal:\s+(\d+) kB/m.exec(meminfo)?.[1];
  return kib === undefined ? undefined : Number(kib) * 1_024;
}

/** The smallest bound of the group and those around it. */
function cgroupMemory(read: Read, groups: string): number {
  const bounds = [
    ...folders(groups, "").map((folder) => read(`${folder}/memory.max`)),
    ...folders(groups, "memory").map((folder) => read(`${folder}/memory.limit_in_bytes`)),
  ];
  // "max" is no number; without a bound version 1 says almost 2^63.
  return Math.min(NO_BOUND, ...bounds.flatMap(numbers).filter((bytes) => bytes < Number.MAX_SAFE_INTEGER));
}

function cpuQuota(read: Read, groups: string): number {
  const quotas = [
    ...folders(groups, "").map((folder) => numbers(read(`${folder}/cpu.max`))),
    ...folders(groups, "cpu").map((folder) => [
      ...numbers(read(`${folder}/cpu.cfs_quota_us`)),
      ...numbers(read(`${folder}/cpu.cfs_period_us`)),
    ]),
  ];
  // Without a bound the quota is "max", or -1.
  const cores = quotas.map(([quota = -1, period = 0]) =>
    quota > 0 && period > 0 ? quota / period : NO_BOUND,
  );
  return Math.min(NO_BOUND, ...cores);
}

/**
 * Where the files of a process's control group may be, and those of the groups around it: of version 1 for a controller's
 * name, of version 2 for "". In a container the path may be the host's, while the root is the container's own.
 */
function folders(groups: string, controller: string): readonly string[] {
  const line = groups.split("\n").find((text) => text.split(":")[1]?.split(",").includes(controller));
  const path = line?.split(":").slice(2).join(":");
  if (path === undefined) return [];
  const bases =
    controller === "" ? ["sys/fs/cgroup", "sys/fs/cgroup/unified"] : [`sys/fs/cgroup/${controller}`];
  return bases.flatMap((base) => upwards(path).map((group) => join(base, group)));
}

/** `/a/b` gives `/a/b`, `/a`, `/`. */
function upwards(path: string): readonly string[] {
  const above = dirname(path);
  return above === path ? [path] : [path, ...upwards(above)];
}

/** The vector that the kernel hands to a program: pairs of 8 bytes, of which number 6 is the size of a page. */
function pageBytes(vector: Buffer | undefined): number {
  for (let at = 0; vector !== undefined && at + 16 <= vector.length; at += 16)
    if (vector.readBigUInt64LE(at) === 6n) return Number(vector.readBigUInt64LE(at + 8));
  return 4_096;
}

/** The numbers of one line; none where one of its fields is no number. */
function numbers(text: string | undefined): readonly number[] {
  const fields = (text ?? "").split(/\s+/).filter((field) => field !== "");
  return fields.every((field) => /^-?\d+$/.test(field)) ? fields.map(Number) : [];
}

function readBytes(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}
