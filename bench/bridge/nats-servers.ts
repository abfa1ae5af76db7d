import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { delay } from "../support/clock.js";
import { cpuTime } from "../support/proc.js";

/** Real nats-servers with JetStream, of this bench's own: one, or a cluster of three. */
export interface Nats {
  /** As `--broker` takes them. */
  readonly urls: string;
  /** CPU that they have used so far. */
  cpuMicros(): number;
  /** Ends them; what they stored is gone. */
  stop(): Promise<void>;
}

/** Debian's, or another by FANWIRE_NATS_SERVER. */
const BINARY = process.env.FANWIRE_NATS_SERVER ?? "/usr/sbin/nats-server";
/** Where it is, the kernel ends a server with this process, however that ends. */
const SETPRIV = "/usr/bin/setpriv";
const READY_MS = 20_000;
const POLL_MS = 50;

/** @throws Error where there is no nats-server, or it does not come up. */
export async function startNats(replicas: number): Promise<Nats> {
  if (!existsSync(BINARY))
    throw new Error(`no nats-server at ${BINARY}: install it, or name one by FANWIRE_NATS_SERVER`);
  const dir = mkdtempSync(join(tmpdir(), "fanwire-bench-nats-"));
  const remove = (): void => rmSync(dir, { recursive: true, force: true });
  process.once("exit", remove);
  const ports = await freePorts(replicas === 1 ? 1 : 2 * replicas);
  const routes = ports.slice(replicas);
  const children = ports.slice(0, replicas).map((port, index) => start(dir, index, port, routes));
  const pids = children.flatMap(({ pid }) => (pid === undefined ? [] : [pid]));
  const stop = async (): Promise<void> => {
    await Promise.all(children.map(end));
    remove();
    process.off("exit", remove);
  };
  try {
    await Promise.all(ports.slice(0, replicas).map(greeting));
  } catch (cause) {
    await stop();
    throw cause;
  }
  return {
    urls: ports
      .slice(0, replicas)
      .map((port) => `nats://127.0.0.1:${port}`)
      .join(","),
    cpuMicros: () => pids.reduce((sum, pid) => sum + cpuTime(pid).micros, 0),
    stop,
  };
}

function start(dir: string, index: number, port: number, routes: readonly number[]): ChildProcess {
  const name = `n${index + 1}`;
  const urls = routes.map((route) => `"nats://127.0.0.1:${route}"`).join(", ");
  const lines = [
    `server_name: ${name}`,
    `listen: "127.0.0.1:${port}"`,
    `jetstream { store_dir: "${join(dir, name)}" }`,
    routes.length === 0
      ? ""
      : `cluster { name: bench\n listen: "127.0.0.1:${routes[index]}"\n routes: [${urls}] }`,
  ];
  const file = join(dir, `${name}.conf`);
  writeFileSync(file, lines.join("\n"));
  const args = ["-c", file, "-l", join(dir, `${name}.log`)];
  const [command, ...first] = existsSync(SETPRIV) ? [SETPRIV, "--pdeathsig", "KILL", BINARY] : [BINARY];
  return spawn(command ?? BINARY, [...first, ...args], { stdio: "ignore" });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}

/** Resolves when a server says INFO on the port. */
async function greeting(port: number): Promise<void> {
  const deadline = performance.now() + READY_MS;
  while (!(await greets(port))) {
    if (performance.now() > deadline) throw new Error(`nats-server on port ${port} did not come up`);
    await delay(POLL_MS);
  }
}

function greets(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const close = (greeted: boolean): void => {
      socket.destroy();
      resolve(greeted);
    };
    socket.setTimeout(1_000, () => close(false));
    socket.once("error", () => close(false));
    socket.once("close", () => close(false));
    socket.once("data", (bytes) => close(bytes.toString("latin1").startsWith("INFO ")));
  });
}

/** Free a moment ago. */
async function freePorts(count: number): Promise<number[]> {
  const listeners = await Promise.all(
    Array.from({ length: count }, async () => {
      const listener = createServer().listen(0, "127.0.0.1");
      await once(listener, "listening");
      return listener;
    }),
  );
  const ports = listeners.map((listener) => {
    const address = listener.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    return address.port;
  });
  await Promise.all(
    listeners.map(async (listener) => {
      listener.close();
      await once(listener, "close");
    }),
  );
  return ports;
}
