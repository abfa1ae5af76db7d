import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { NodeStatus } from "../../supervisor/status.js";

const MAIN = fileURLToPath(new URL("../../cli/main.js", import.meta.url));
const START_MS = 30_000;
const STOP_MS = 15_000;

export interface ServedNodeOptions {
  readonly workers: number;
  /** Further flags of `fanwire serve`. */
  readonly flags?: readonly string[];
}

export type Role = "supervisor" | "worker" | "hub";

export interface NodeProcess {
  readonly pid: number;
  readonly role: Role;
}

/** `fanwire serve` as a user starts it, with all of its processes. It shares our stderr. */
export class ServedNode {
  readonly #child: ChildProcess;
  readonly #adminPort: number;
  readonly port: number;

  private constructor(child: ChildProcess, port: number, adminPort: number) {
    this.#child = child;
    this.port = port;
    this.#adminPort = adminPort;
  }

  /** Resolves when it says that it listens. @throws Error with what it said where it does not. */
  static async start({ workers, flags = [] }: ServedNodeOptions): Promise<ServedNode> {
    const [port, adminPort] = [await freePort(), await freePort()];
    const args = [
      ...[MAIN, "serve", "--port", String(port), "--admin.port", String(adminPort)],
      ...["--workers", String(workers), "--log.level", "warn", ...flags],
    ];
    // In a folder without a configuration file, and without the environment's own settings.
    const env = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !name.startsWith("FANWIRE_")),
    );
    const child = spawn(process.execPath, args, { cwd: tmpdir(), env, stdio: ["ignore", "pipe", "inherit"] });
    const node = new ServedNode(child, port, adminPort);
    // A bench that ends without a word leaves nothing behind: the node's processes see that their supervisor is gone.
    const kill = (): boolean => child.kill("SIGKILL");
    process.once("exit", kill);
    child.once("exit", () => process.off("exit", kill));
    try {
      await listening(child);
    } catch (cause) {
      await node.stop();
      throw cause;
    }
    return node;
  }

  /** What its admin port says; up to a second old, as far as workers and hubs report. */
  async status(): Promise<NodeStatus> {
    const response = await fetch(`http://127.0.0.1:${this.#adminPort}/v1/node`);
    if (response.status !== 200) throw new Error(`/v1/node answered ${response.status}`);
    // The node is of this same build.
    return (await response.json()) as NodeStatus;
  }

  /** As Prometheus asks for them. */
  async metrics(): Promise<string> {
    const response = await fetch(`http://127.0.0.1:${this.#adminPort}/metrics`);
    const text = await response.text();
    if (response.status !== 200) throw new Error(`/metrics answered ${response.status}`);
    return text;
  }

  /** Its processes that run now. */
  async processes(): Promise<NodeProcess[]> {
    const { pid, workers, hubs } = await this.status();
    const running = (role: Role, all: readonly { pid: number | undefined }[]): NodeProcess[] =>
      all.flatMap((process) => (process.pid === undefined ? [] : [{ pid: process.pid, role }]));
    return [{ pid, role: "supervisor" }, ...running("worker", workers), ...running("hub", hubs)];
  }

  /** Asks it to stop, kills what is left after some seconds. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    const exited = once(child, "exit");
    // Twice: at once. Nobody waits for a drain here.
    child.kill("SIGTERM");
    child.kill("SIGTERM");
    // Its children see that it is gone, and end.
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
    await exited;
    clearTimeout(timer);
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
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
