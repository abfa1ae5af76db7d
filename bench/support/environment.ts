import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { fileURLToPath } from "node:url";

/** What numbers were measured on, and how busy it was with other things. */
export interface Environment {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
  readonly fanwire: string;
  /** The package that stands for uWebSockets.js, and its version. */
  readonly uws: string;
  /** Git revision, with "+" where files were changed since; "none" outside of a repository. */
  readonly revision: string;
  /** As in force: the kernel's settings by name, those that it has. */
  readonly sysctls: Readonly<Record<string, string>>;
  /** Of one process. */
  readonly openFilesMax: number;
  /** Over the last minute, before the measurement. */
  readonly loadAverage: number;
}

const ROOT = new URL("../../../", import.meta.url);
const SYSCTLS = [
  "fs.file-max",
  "fs.nr_open",
  "net.core.netdev_max_backlog",
  "net.core.rmem_max",
  "net.core.somaxconn",
  "net.core.wmem_max",
  "net.ipv4.ip_local_port_range",
  "net.ipv4.tcp_congestion_control",
  "net.ipv4.tcp_max_syn_backlog",
  "net.ipv4.tcp_mem",
  "net.ipv4.tcp_migrate_req",
  "net.ipv4.tcp_notsent_lowat",
  "net.ipv4.tcp_rmem",
  "net.ipv4.tcp_wmem",
] as const;

export function environment(): Environment {
  const [load] = readFileSync("/proc/loadavg", "latin1").split(" ");
  const uws = packageAt("node_modules/uWebSockets.js/package.json");
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    fanwire: ownVersion(),
    uws: uws === undefined ? "unknown" : `${uws.name}@${uws.version}`,
    revision: revision(),
    sysctls: sysctls(),
    openFilesMax: openFilesMax(),
    loadAverage: Number(load),
  };
}

/** This package's version. */
export function ownVersion(): string {
  return packageAt("package.json")?.version ?? "unknown";
}

/** How many files a process of ours may have open, sockets included; Node raises the soft limit to the hard one. */
export function openFilesMax(): number {
  const limit = /^Max open files\s+\d+\s+(\d+|unlimited)/m.exec(
    readFileSync("/proc/self/limits", "latin1"),
  )?.[1];
  const known = Number(limit);
  return Number.isNaN(known) ? Number.MAX_SAFE_INTEGER : known;
}

function packageAt(path: string): { name: string; version: string } | undefined {
  try {
    return JSON.parse(readFileSync(new URL(path, ROOT), "utf8")) as { name: string; version: string };
  } catch {
    return undefined;
  }
}

/** Git revision of what is run here, see {@link Environment}. */
export function revision(): string {
  const git = (...args: string[]): string =>
    execFileSync("git", args, {
      cwd: fileURLToPath(ROOT),
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
  try {
    const changed = git("status", "--porcelain", "--untracked-files=no").trim() !== "";
    return `${git("rev-parse", "--short=12", "HEAD").trim()}${changed ? "+" : ""}`;
  } catch {
    return "none"; // an installed package, or no git
  }
}

function sysctls(): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of SYSCTLS) {
    try {
      found[name] = readFileSync(`/proc/sys/${name.replaceAll(".", "/")}`, "latin1")
        .trim()
        .replace(/\s+/g, " ");
    } catch {
      // this kernel, or this container, does not have it
    }
  }
  return found;
}
