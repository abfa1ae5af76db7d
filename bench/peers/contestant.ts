import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { canPin, TASKSET } from "../support/child.js";
import { delay } from "../support/clock.js";
import { type CpuTime, cpuTime, residentBytes } from "../support/proc.js";
import { freePort } from "../support/served-node.js";
import type { Ground, Launch, Peer } from "./catalog.js";
import { type Feed, stdinFeed } from "./feeds.js";

const START_MS = 60_000;
const STOP_MS = 3_000;
const POLL_MS = 25;
const STDERR_CHARS_MAX = 2_000;

export interface ContestantOptions {
  readonly folder: string;
  readonly connections: number;
  /** The core that it runs on; undefined: any. */
  readonly core: number | undefined;
}

/** A peer's server that runs, with the way messages get into it. */
export class Contestant {
  readonly port: number;
  /** A path for each client, where the server wants that. */
  readonly paths: readonly string[] | undefined;
  readonly feed: Feed;
  readonly #child: ChildProcess;
  readonly #work: string;

  private constructor(child: ChildProcess, work: string, feed: Feed, told: Told) {
    this.#child = child;
    this.#work = work;
    this.feed = feed;
    this.port = told.port;
    this.paths = told.paths;
  }

  /** Resolves when it takes connections. @throws Error with what it said on stderr. */
  static async start(peer: Peer, { folder, connections, core }: ContestantOptions): Promise<Contestant> {
    const work = mkdtempSync(join(tmpdir(), `fanwire-peer-${peer.name}-`));
    const ground: Ground = { folder, work, connections, port: await freePort(), feedPort: await freePort() };
    const launch = peer.launch(ground);
    const child = start(launch, core, work);
    try {
      const told = await ready(child, launch, ground);
      const feed = launch.feed === undefined ? feedOf(child) : await launch.feed(ground);
      return new Contestant(child, work, feed, told);
    } catch (cause) {
      await end(child);
      rmSync(work, { recursive: true, force: true });
      throw cause;
    }
  }

  /** CPU time of all of its processes so far. */
  cpu(): CpuTime {
    const times = this.#pids().map(cpuTime);
    const sum = (pick: (time: CpuTime) => number): number =>
      times.reduce((total, time) => total + pick(time), 0);
    return {
      micros: sum(({ micros }) => micros),
      userMicros: sum(({ userMicros }) => userMicros),
      systemMicros: sum(({ systemMicros }) => systemMicros),
    };
  }

  residentBytes(): number {
    return this.#pids().reduce((total, pid) => total + residentBytes(pid), 0);
  }

  async stop(): Promise<void> {
    this.feed.close();
    await end(this.#child);
    rmSync(this.#work, { recursive: true, force: true });
  }

  #pids(): number[] {
    const { pid, exitCode, signalCode } = this.#child;
    if (pid === undefined || exitCode !== null || signalCode !== null)
      throw new Error("the server has ended");
    return withDescendants(pid);
  }
}

interface Told {
  readonly port: number;
  readonly paths?: readonly string[];
}

function start({ command, args, env = {} }: Launch, core: number | undefined, work: string): ChildProcess {
  const pinned = core !== undefined && canPin(core);
  const child = spawn(
    pinned ? TASKSET : command,
    pinned ? ["-c", String(core), command, ...args] : [...args],
    // In a folder of its own and without our environment's settings, but for where programs and home are.
    {
      cwd: work,
      env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
      stdio: ["pipe", "pipe", "pipe"],
    },
  );
  // A bench that ends without a word leaves nothing behind.
  const kill = (): boolean => child.kill("SIGKILL");
  process.once("exit", kill);
  child.once("exit", () => process.off("exit", kill));
  // Who ends early is seen by its exit.
  child.stdin?.on("error", () => {});
  return child;
}

async function ready(child: ChildProcess, launch: Launch, { port }: Ground): Promise<Told> {
  let said = "";
  child.stderr?.on("data", (text: Buffer) => {
    said = `${said}${text}`.slice(-STDERR_CHARS_MAX);
  });
  let timer: NodeJS.Timeout | undefined;
  const ended = new Promise<never>((_, reject) => {
    const fail = (what: string): void => reject(new Error(`${what} ${said.trim()}`.trim()));
    child.once("exit", (code, signal) => fail(`the server ended with ${signal ?? `code ${code}`}`));
    child.once("error", (cause) => fail(cause.message));
    timer = setTimeout(() => fail(`the server does not listen after ${START_MS} ms`), START_MS);
  });
  try {
    if (launch.ready === "line") {
      const line = await Promise.race([lineOf(child, /^\{/), ended]);
      return JSON.parse(line) as Told;
    }
    if (launch.ready !== "listening") await Promise.race([lineOf(child, launch.ready), ended]);
    else {
      child.stdout?.resume();
      await Promise.race([listening(port), ended]);
    }
    return { port };
  } finally {
    clearTimeout(timer);
    ended.catch(() => {});
  }
}

/** The first line like that; what comes after it is read and forgotten. */
function lineOf({ stdout }: ChildProcess, pattern: RegExp): Promise<string> {
  if (stdout === null) throw new Error("no stdout");
  return new Promise((resolve) => {
    createInterface({ input: stdout }).on("line", (line) => {
      if (pattern.test(line)) resolve(line);
    });
  });
}

async function listening(port: number): Promise<void> {
  const endMs = performance.now() + START_MS;
  while (performance.now() < endMs) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = net.connect({ host: "127.0.0.1", port });
      socket.once("connect", () => {
        socket.destroy();
        resolve(true);
      });
      socket.once("error", () => resolve(false));
    });
    if (isOpen) return;
    await delay(POLL_MS);
  }
}

function feedOf({ stdin }: ChildProcess): Feed {
  if (stdin === null) throw new Error("no stdin");
  return stdinFeed(stdin);
}

function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
    child.once("exit", () => {
      clearTimeout(timer);
      resolve();
    });
    child.once("error", () => resolve());
    child.kill("SIGTERM");
  });
}

/** The process and all that it started. */
function withDescendants(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const parent = parentOf(pid);
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  const all = [root];
  for (const pid of all) all.push(...(children.get(pid) ?? []));
  return all;
}

function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return undefined; // it ended meanwhile
  }
}
