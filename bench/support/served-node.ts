import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type CpuTime, cpuSince, cpuTime, residentBytes } from "./proc.js";

const MAIN = fileURLToPath(new URL("../../cli/main.js", import.meta.url));
const START_MS = 30_000;
const STOP_MS = 15_000;

export interface ServedNodeOptions {
  readonly workers: number;
  readonly nodeArgs: readonly string[];
  /** Further flags of `fanwire serve`. */
  readonly flags?: readonly string[];
}

export type Role = "supervisor" | "worker" | "hub";

export interface NodeProcess {
  readonly pid: number;
  readonly role: Role;
}

/** `fanwire serve` as a user starts it, with all of its processes. */
export class ServedNode {
  readonly #child: ChildProcess;
  readonly port: number;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
  }

  /** Resolves when it says that it listens. @throws Error with what it said where it does not. */
  static async start({ workers, nodeArgs, flags = [] }: ServedNodeOptions): Promise<ServedNode> {
    const [port, adminPort] = [await freePort(), await freePort()];
    const args = [
      ...[...nodeArgs, MAIN, "serve", "--port", String(port), "--admin.port", String(adminPort)],
      ...["--workers", String(workers), "--log.level", "warn", ...flags],
    ];
    // In a folder without a configuration file, and without the environment's own settings.
    const env = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !name.startsWith("FANWIRE_")),
    );
    const child = spawn(process.execPath, args, { cwd: tmpdir(), env, stdio: ["ignore", "pipe", "inherit"] });
    const node = new ServedNode(child, port);
    try {
      await listening(child);
    } catch (cause) {
      await node.stop();
      throw cause;
    }
    return node;
  }

  /** Its processes that are alive now. */
  processes(): NodeProcess[] {
    const pid = this.#child.pid;
    if (pid === undefined) throw new Error("fanwire serve did not start");
    const children = descendants(pid);
    // One process does all where there is one worker.
    if (children.length === 0) return [{ pid, role: "worker" }];
    return [
      { pid, role: "supervisor" },
      ...children.map((child): NodeProcess => ({ pid: child, role: isHub(child) ? "hub" : "worker" })),
    ];
  }

  pids(role: Role): number[] {
    return this.processes()
      .filter((process) => process.role === role)
      .map(({ pid }) => pid);
  }

  /** Asks it to stop, kills what is left after some seconds. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    const all = [child.pid, ...descendants(child.pid)];
    const exited = once(child, "exit");
    // Twice: at once. Nobody waits for a drain here.
    child.kill("SIGTERM");
    child.kill("SIGTERM");
    const timer = setTimeout(() => {
      for (const pid of all) killIfAlive(pid);
    }, STOP_MS);
    await exited;
    clearTimeout(timer);
  }
}

/** Resident memory and CPU time of several processes, read together. */
export class Meter {
  readonly #before: ReadonlyMap<number, { readonly cpu: CpuTime; readonly residentBytes: number }>;
  readonly #startedMs = performance.now();

  constructor(pids: readonly number[]) {
    this.#before = new Map(
      pids.map((pid) => [pid, { cpu: cpuTime(pid), residentBytes: residentBytes(pid) }]),
    );
  }

  get seconds(): number {
    return (performance.now() - this.#startedMs) / 1_000;
  }

  /** CPU time of those of them that still live. */
  cpuMicros(pids: readonly number[] = [...this.#before.keys()]): number {
    return pids.reduce((sum, pid) => {
      const before = this.#before.get(pid);
      return sum + (before === undefined ? 0 : cpuSince(pid, before.cpu).micros);
    }, 0);
  }

  /** How much the process has grown since. */
  grownBytes(pid: number): number {
    const before = this.#before.get(pid);
    if (before === undefined) throw new Error(`process ${pid} was not there before`);
    return residentBytes(pid) - before.residentBytes;
  }
}

/** What it says first on stdout is its address. */
async function listening(child: ChildProcess): Promise<void> {
  const { stdout } = child;
  if (stdout === null) throw new Error("no stdout");
  const lines = createInterface({ input: stdout });
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`fanwire serve does not listen after ${START_MS} ms`)),
      START_MS,
    );
    lines.on("line", (line) => {
      if (!/ listens on /.test(line)) return;
      clearTimeout(timer);
      resolve();
    });
    child.once("exit", (code, signal) => {
      clearTimeout(timer);
      reject(new Error(`fanwire serve ended with ${signal ?? `code ${code}`}`));
    });
    child.once("error", reject);
  });
}

/** Free a moment ago; a bench is alone on its host, so it still is. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

function descendants(pid: number): number[] {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1");
  } catch {
    return []; // it ended
  }
  const children = text
    .split(" ")
    .filter((word) => word.trim() !== "")
    .map(Number);
  return children.flatMap((child) => [child, ...descendants(child)]);
}

function isHub(pid: number): boolean {
  try {
    return /[/\\]hub[^/\\]*\.js/.test(readFileSync(`/proc/${pid}/cmdline`, "latin1"));
  } catch {
    return false;
  }
}

function killIfAlive(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself.
  }
}
