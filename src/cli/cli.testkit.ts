import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("./main.js", import.meta.url));
const DEADLINE_MS = 15_000;

/** An empty working directory, so that no configuration file of the machine gets in. */
export const EMPTY_DIR = mkdtempSync(join(tmpdir(), "fanwire-cli-"));
const started = new Set<ChildProcess>();
// A failed test leaves its processes behind, which would keep the run from ending.
after(() => {
  for (const child of started) child.kill("SIGKILL");
  rmSync(EMPTY_DIR, { recursive: true, force: true });
});

export interface CliOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Written to stdin, which is then closed; undefined leaves it open. */
  readonly stdin?: string;
}

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** One `fanwire` process. */
export class Cli {
  stdout = "";
  stderr = "";
  readonly child: ChildProcess;
  readonly #exit: Promise<unknown>;
  readonly #args: readonly string[];

  constructor(args: readonly string[], { env = {}, cwd = EMPTY_DIR, stdin }: CliOptions = {}) {
    this.#args = args;
    this.child = spawn(process.execPath, [MAIN, ...args], {
      cwd,
      env: { PATH: process.env.PATH, HOME: EMPTY_DIR, ...env },
      stdio: "pipe",
    });
    started.add(this.child);
    this.child.once("close", () => started.delete(this.child));
    this.#exit = once(this.child, "close");
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
    });
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
    // A command that ends before it has read all of its input closes the pipe.
    this.child.stdin?.on("error", () => {});
    if (stdin !== undefined) this.child.stdin?.end(stdin);
  }

  /** Waits for the end. @throws Error at the deadline, with all that was printed. */
  async done(): Promise<Outcome> {
    await this.#within(this.#exit);
    return { code: this.child.exitCode, stdout: this.stdout, stderr: this.stderr };
  }

  /** Waits until what was printed there matches. @throws Error at the deadline or the end, with all that was printed. */
  async until(stream: "stdout" | "stderr", pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this[stream]);
      if (match !== null) return match;
      const source = this.child[stream];
      if (source === null || this.child.exitCode !== null) throw this.#problem(`ended without ${pattern}`);
      await this.#within(Promise.race([once(source, "data"), this.#exit]));
    }
  }

  async stop(signal: "SIGTERM" | "SIGINT" = "SIGTERM"): Promise<Outcome> {
    this.child.kill(signal);
    return this.done();
  }

  async #within(event: Promise<unknown>): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise((_, reject) => {
      timer = setTimeout(() => {
        this.child.kill("SIGKILL");
        reject(this.#problem(`nothing within ${DEADLINE_MS} ms`));
      }, DEADLINE_MS);
    });
    try {
      await Promise.race([event, deadline]);
    } finally {
      clearTimeout(timer);
    }
  }

  #problem(what: string): Error {
    return new Error(
      `fanwire ${this.#args.join(" ")}: ${what}\nstdout: ${this.stdout}\nstderr: ${this.stderr}`,
    );
  }
}

/** Runs a command to its end. */
export function fanwire(args: readonly string[], options: CliOptions = {}): Promise<Outcome> {
  return new Cli(args, { stdin: "", ...options }).done();
}

/** Starts `fanwire serve` on a free port and waits until it listens. */
export async function serve(
  args: readonly string[] = [],
  options: CliOptions = {},
): Promise<{ readonly cli: Cli; readonly url: string }> {
  const cli = new Cli(["serve", "--port", "0", "--admin.port", "0", ...args], options);
  const [, url = ""] = await cli.until("stdout", /listens on (http:\/\/\S+)\n/);
  return { cli, url };
}
