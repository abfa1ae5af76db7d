import { type ChildProcess, fork } from "node:child_process";
import { accessSync } from "node:fs";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";

export interface ChildOptions {
  readonly args?: readonly string[];
  readonly execArgv?: readonly string[];
  /** The core it runs on, where the host has `taskset` and that core; undefined: any. */
  readonly core?: number | undefined;
}

/** A process of ours that answers one request at a time over Node's IPC channel. */
export class Child<Request extends object, Reply extends object> {
  readonly #process: ChildProcess;
  readonly #name: string;
  #waiting: { resolve: (reply: Reply) => void; reject: (cause: Error) => void } | undefined;
  #ended: Error | undefined;

  /** Starts `file` (beside the compiled benches); it shares our stdout and stderr. */
  constructor(file: string, options: ChildOptions = {}) {
    this.#name = file;
    const path = fileURLToPath(new URL(`../${file}`, import.meta.url));
    // A load client lives on short garbage; without a limit a benchmark could fill the host.
    const nodeArgs = ["--max-old-space-size=2048", ...(options.execArgv ?? [])];
    const pinned = options.core !== undefined && canPin(options.core);
    this.#process = fork(path, options.args ?? [], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      ...(pinned
        ? { execPath: TASKSET, execArgv: ["-c", String(options.core), process.execPath, ...nodeArgs] }
        : { execArgv: nodeArgs }),
    });
    this.#process.on("message", (reply) => {
      const waiting = this.#waiting;
      this.#waiting = undefined;
      waiting?.resolve(reply as Reply);
    });
    this.#process.once("exit", (code, signal) => this.#end(`ended with ${signal ?? `code ${code}`}`));
    this.#process.once("error", (cause) => this.#end(cause.message));
  }

  get pid(): number {
    if (this.#process.pid === undefined) throw new Error(`${this.#name} did not start`);
    return this.#process.pid;
  }

  /** The answer to a request; `undefined` waits for what the process says by itself. Rejects when it ends or is late. */
  ask(request: Request | undefined, deadlineMs: number): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) return reject(this.#ended);
      if (this.#waiting !== undefined) return reject(new Error(`${this.#name} is still busy`));
      const timer = setTimeout(() => {
        this.#waiting = undefined;
        reject(new Error(`${this.#name} did not answer ${JSON.stringify(request)} within ${deadlineMs} ms`));
      }, deadlineMs);
      this.#waiting = {
        resolve: (reply) => {
          clearTimeout(timer);
          resolve(reply);
        },
        reject: (cause) => {
          clearTimeout(timer);
          reject(cause);
        },
      };
      if (request !== undefined) this.#process.send(request);
    });
  }

  /** Ends the process: it is asked to, and killed when it does not within two seconds. */
  stop(): Promise<void> {
    if (this.#ended !== undefined) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#process.kill("SIGKILL"), 2_000);
      this.#process.once("exit", () => {
        clearTimeout(timer);
        resolve();
      });
      // The channel's end is the sign to leave, so that no process outlives a bench that crashed.
      if (this.#process.connected) this.#process.disconnect();
    });
  }

  #end(why: string): void {
    this.#ended = new Error(`${this.#name} ${why}`);
    this.#waiting?.reject(this.#ended);
    this.#waiting = undefined;
  }
}

export const TASKSET = "/usr/bin/taskset";

export function canPin(core: number): boolean {
  try {
    accessSync(TASKSET);
  } catch {
    return false;
  }
  return core < cpus().length;
}

/** The other side of {@link Child}: answers each request, in turn; leaves when the parent is gone. */
export function answerParent<Request extends object, Reply extends object>(
  answer: (request: Request) => Promise<Reply>,
  leave: () => void,
): void {
  process.on("message", (request) => {
    answer(request as Request).then(tellParent, (cause: unknown) => {
      console.error(cause);
      process.exit(1);
    });
  });
  process.once("disconnect", leave);
  // Ctrl-C reaches the whole group; the parent decides when its children leave.
  process.on("SIGINT", () => {});
}

export function tellParent(reply: object): void {
  process.send?.(reply);
}
