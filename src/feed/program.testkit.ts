import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const START_MS = 45_000;

/** A program of this project, started by the test and ended by its own id. */
export class Program {
  readonly child: ChildProcess;
  readonly lines: string[] = [];
  readonly #file: string;

  constructor(file: string, args: readonly string[], environment: NodeJS.ProcessEnv = {}) {
    this.#file = file;
    const env = { ...process.env, ...environment };
    this.child = spawn(process.execPath, [ROOT + file, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      if (stream !== null) createInterface(stream).on("line", (line) => this.lines.push(line));
    }
  }

  /**
   * The first line that matches, already said or to come.
   * @param isEnding Also where it has ended meanwhile.
   */
  async says(pattern: RegExp, isEnding = false): Promise<RegExpExecArray> {
    const deadline = Date.now() + START_MS;
    for (;;) {
      for (const line of this.lines) {
        const match = pattern.exec(line);
        if (match !== null) return match;
      }
      const said = this.lines.join("\n");
      assert.ok(Date.now() < deadline, `${this.#file} did not say ${pattern}:\n${said}`);
      if (!isEnding) assert.equal(this.child.exitCode, null, `${this.#file} has ended:\n${said}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Its exit code, once it has ended by itself; null where a signal ended it. */
  async ended(): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, "exit");
    return this.child.exitCode;
  }

  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    this.child.kill(signal);
    return this.ended();
  }
}

export interface RunningServer {
  readonly program: Program;
  readonly url: string;
}

/** Port 0: any free one. */
export async function startServer(port = 0, environment: NodeJS.ProcessEnv = {}): Promise<RunningServer> {
  const program = new Program(
    "dist/cli/main.js",
    ["serve", "--demo", "--port", String(port), "--admin.port", "0", "--limits.handshake-lag-ms", "5000"],
    environment,
  );
  const [, url = ""] = await program.says(/listens on (http:\/\/[^\s/]+)/);
  return { program, url };
}

/**
 * On a port below those that the kernel gives to outgoing connections: after a kill, one of those could take the
 * server's place before it is started again.
 */
export async function startRestartableServer(): Promise<RunningServer> {
  for (let attempt = 1; ; attempt += 1) {
    const port = 21_000 + Math.floor(Math.random() * 9_000);
    try {
      return await startServer(port);
    } catch (cause) {
      if (attempt === 5) throw cause;
    }
  }
}

export function startFeed(url: string, args: readonly string[] = []): Program {
  return new Program("dist/feed/main.js", ["--url", url, ...args]);
}
