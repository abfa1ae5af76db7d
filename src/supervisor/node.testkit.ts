import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { NodeStatus } from "./status.js";

const MAIN = fileURLToPath(new URL("../cli/main.js", import.meta.url));
const DEADLINE_MS = 30_000;

export interface NodeOptions {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A node of real processes, as `fanwire serve` starts it, gone when the test is over. */
export class TestNode {
  readonly process: ChildProcess;
  readonly folder: string;
  readonly #exit: Promise<unknown>;
  /** Every process seen, so that none outlives the test. */
  readonly #pids = new Set<number>();
  stderr = "";
  stdout = "";
  url = "";
  adminUrl = "";

  private constructor(t: TestContext, { args = [], env = {} }: NodeOptions) {
    this.folder = mkdtempSync(join(tmpdir(), "fanwire-node-"));
    const all = ["serve", "--port", "0", "--admin.port", "0", ...args];
    this.process = spawn(process.execPath, [MAIN, ...all], {
      cwd: this.folder,
      env: { PATH: process.env.PATH, HOME: this.folder, TMPDIR: this.folder, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#exit = once(this.process, "exit");
    this.process.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
    });
    this.process.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
    t.after(() => {
      for (const pid of [this.process.pid, ...this.#pids]) if (pid !== undefined) kill(pid, "SIGKILL");
      rmSync(this.folder, { recursive: true, force: true });
    });
  }

  /** A folder that is gone when the test is over. */
  static folderFor(t: TestContext): string {
    const folder = mkdtempSync(join(tmpdir(), "fanwire-test-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    return folder;
  }

  /** Starts it and waits until it listens. */
  static async start(t: TestContext, options: NodeOptions = {}): Promise<TestNode> {
    const node = new TestNode(t, options);
    const [, url = ""] = await node.untilText("stdout", /listens on (https?:\/\/\S+)\n/);
    node.url = url;
    const [, admin = ""] = await node.untilText("stderr", /"admin":"(http:[^"]+)"/);
    node.adminUrl = admin;
    await node.until("ready", ({ ready }) => ready);
    return node;
  }

  /** Starts one that is expected to end by itself. */
  static launch(t: TestContext, options: NodeOptions = {}): TestNode {
    return new TestNode(t, options);
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  async status(): Promise<NodeStatus> {
    const status: NodeStatus = await (await fetch(`${this.adminUrl}/v1/node`)).json();
    for (const { pid } of [...status.workers, ...status.hubs]) if (pid !== undefined) this.#pids.add(pid);
    return status;
  }

  /** Waits until the node's status is so. */
  async until(what: string, isSo: (status: NodeStatus) => boolean): Promise<NodeStatus> {
    const endMs = performance.now() + DEADLINE_MS;
    for (;;) {
      const status = await this.status();
      if (isSo(status)) return status;
      if (performance.now() > endMs)
        assert.fail(`not ${what}: ${JSON.stringify(status, null, 1)}\n${this.stderr}`);
      await sleep(20);
    }
  }

  async untilText(stream: "stdout" | "stderr", pattern: RegExp): Promise<RegExpExecArray> {
    const endMs = performance.now() + DEADLINE_MS;
    for (;;) {
      const match = pattern.exec(this[stream]);
      if (match !== null) return match;
      if (this.process.exitCode !== null || performance.now() > endMs)
        assert.fail(`no ${pattern} on ${stream}: ${this.stdout}\n${this.stderr}`);
      await Promise.race([once(this.process[stream] ?? this.process, "data"), this.#exit, sleep(1_000)]);
    }
  }

  /** Pids of workers that serve, by their index. */
  async workerPids(): Promise<number[]> {
    return (await this.status()).workers.map(({ pid }) => pid ?? 0);
  }

  signal(signal: NodeJS.Signals): void {
    this.process.kill(signal);
  }

  /** Waits for the supervisor's end. */
  async ended(): Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }> {
    const timer = setTimeout(() => this.process.kill("SIGKILL"), DEADLINE_MS);
    await this.#exit;
    clearTimeout(timer);
    return { code: this.process.exitCode, signal: this.process.signalCode };
  }

  /** Waits until every process that was ever seen is gone. */
  async allGone(): Promise<void> {
    const endMs = performance.now() + DEADLINE_MS;
    while ([...this.#pids].some(isAlive)) {
      if (performance.now() > endMs)
        assert.fail(`still there: ${[...this.#pids].filter(isAlive)}\n${this.stderr}`);
      await sleep(20);
    }
  }
}

export function isAlive(pid: number): boolean {
  return kill(pid, 0);
}

export function kill(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}
