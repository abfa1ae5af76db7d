import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ACCOUNT_PASSWORDS, accountsForTests } from "./nats-accounts.testkit.js";

/** The server under test: Debian's, or another by FANWIRE_NATS_SERVER. */
const NATS_BINARY = process.env.FANWIRE_NATS_SERVER ?? "/usr/sbin/nats-server";

/** A server that does not come up within this time does not come up. */
const READY_MS = 20_000;
const RETRY_MS = 20;

export interface NatsServerOptions {
  /** Further lines of the server's configuration, for instance accounts. */
  readonly config?: string;
  /** Inside `jetstream { }`, for instance `max_file_store: 10MB`. */
  readonly jetstream?: string;
  /** Where it stores, instead of a directory of its own: nobody removes that. */
  readonly storeDir?: string;
  /** In a cluster: clients are not told of the other servers, so that they stay with the ways that they know. */
  readonly isolated?: boolean;
  /** Without the documented accounts (scripts/nats-accounts.conf), where `config` has its own or none are wanted. Default: false. */
  readonly bare?: boolean;
  /** Lines inside the documented account that holds the streams, for instance mappings. */
  readonly account?: string;
}

interface Place {
  readonly name: string;
  readonly port: number;
  readonly dir: string;
  readonly cluster: string;
}

/**
 * One real nats-server with JetStream on a port of its own. Everything it wrote is gone after {@link NatsServer.dispose};
 * a process that dies takes it along.
 */
export class NatsServer {
  readonly name: string;
  readonly port: number;
  readonly #dir: string;
  #process: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();

  private constructor({ name, port, dir }: Place) {
    this.name = name;
    this.port = port;
    this.#dir = dir;
  }

  /** Writes the configuration; nothing runs yet. */
  static async create(options: NatsServerOptions, place?: Partial<Place>): Promise<NatsServer> {
    const dir = place?.dir ?? (await mkdtemp(join(tmpdir(), "fanwire-nats-test-")));
    const [port = 0] = place?.port === undefined ? await freePorts(1) : [place.port];
    const whole: Place = { name: place?.name ?? "n1", port, dir, cluster: place?.cluster ?? "" };
    const server = new NatsServer(whole);
    await server.configure(options, whole.cluster);
    return server;
  }

  static async start(options: NatsServerOptions = {}): Promise<NatsServer> {
    const server = await NatsServer.create(options);
    await server.start();
    return server;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  get running(): boolean {
    return this.#process !== undefined;
  }

  /** What the server has logged so far. */
  log(): Promise<string> {
    return readFile(join(this.#dir, "log"), "utf8");
  }

  /** Another configuration, from the next start on. */
  async configure(options: NatsServerOptions, cluster = ""): Promise<void> {
    const { config = "", jetstream = "", storeDir = this.#store, bare = false, account = "" } = options;
    const lines = [
      `server_name: ${this.name}`,
      `listen: "127.0.0.1:${this.port}"`,
      `jetstream { store_dir: "${storeDir}"\n${jetstream} }`,
      cluster,
      bare ? "" : accountsForTests(account),
      config,
    ];
    await writeFile(join(this.#dir, "nats.conf"), lines.join("\n"));
  }

  /** Starts it, or starts it again with what it has stored; resolves when it takes connections. */
  async start(): Promise<void> {
    this.#spawn();
    await this.ready();
  }

  /** SIGKILL: no farewell, nothing flushed. */
  async kill(): Promise<void> {
    this.#process?.kill("SIGKILL");
    await this.#exited;
  }

  /** SIGTERM: the orderly way. */
  async stop(): Promise<void> {
    this.#process?.kill("SIGTERM");
    await this.#exited;
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** SIGSTOP: connections stay, nobody answers. */
  pause(): void {
    this.#process?.kill("SIGSTOP");
  }

  resume(): void {
    this.#process?.kill("SIGCONT");
  }

  /** Copies what is stored into a fresh directory; only while it does not run. Returns how to put it back. */
  async saveStore(): Promise<() => Promise<void>> {
    const saved = join(this.#dir, `saved-${Date.now()}`);
    await cp(this.#store, saved, { recursive: true });
    return async () => {
      await rm(this.#store, { recursive: true, force: true });
      await cp(saved, this.#store, { recursive: true });
    };
  }

  async dispose(): Promise<void> {
    await this.kill();
    await rm(this.#dir, { recursive: true, force: true });
  }

  /** Resolves when it takes connections. */
  async ready(): Promise<void> {
    const deadline = Date.now() + READY_MS;
    while (!(await greets(this.port))) {
      if (this.#process === undefined || Date.now() > deadline)
        throw new Error(`nats-server ${this.name} did not come up:\n${await this.log()}`);
      await pause(RETRY_MS);
    }
  }

  get #store(): string {
    return join(this.#dir, "store");
  }

  #spawn(): void {
    if (this.#process !== undefined) throw new Error(`nats-server ${this.name} runs already`);
    const log = join(this.#dir, "log");
    const args = ["-c", join(this.#dir, "nats.conf"), "-l", log];
    // Where setpriv is, the kernel ends the server with this process, however that ends.
    const [command, ...first] = existsSync(SETPRIV)
      ? [SETPRIV, "--pdeathsig", "KILL", NATS_BINARY]
      : [NATS_BINARY];
    const env = { ...process.env, ...ACCOUNT_PASSWORDS };
    const child = spawn(command ?? NATS_BINARY, [...first, ...args], { stdio: "ignore", env });
    this.#process = child;
    this.#exited = new Promise((resolve) => {
      const over = (): void => {
        if (this.#process === child) this.#process = undefined;
        resolve();
      };
      child.once("exit", over);
      child.once("error", over);
    });
  }
}

const SETPRIV = "/usr/bin/setpriv";

/** Three servers with one JetStream, where streams can have three replicas. */
export class NatsCluster {
  readonly servers: readonly NatsServer[];

  private constructor(servers: readonly NatsServer[]) {
    this.servers = servers;
  }

  static async start(options: NatsServerOptions = {}): Promise<NatsCluster> {
    const ports = await freePorts(6);
    const routes = ports.slice(3).map((port) => `"nats://127.0.0.1:${port}"`);
    const servers: NatsServer[] = [];
    for (const [index, port] of ports.slice(0, 3).entries()) {
      const listen = `listen: "127.0.0.1:${ports[index + 3]}"`;
      const advertise = options.isolated === true ? "no_advertise: true" : "";
      const cluster = `cluster { name: test\n ${listen}\n ${advertise}\n routes: [${routes.join(", ")}] }`;
      servers.push(await NatsServer.create(options, { name: `n${index + 1}`, port, cluster }));
    }
    const cluster = new NatsCluster(servers);
    await Promise.all(servers.map((server) => server.start()));
    return cluster;
  }

  get urls(): readonly string[] {
    return this.servers.map((server) => server.url);
  }

  server(name: string): NatsServer {
    const found = this.servers.find((server) => server.name === name);
    if (found === undefined) throw new Error(`the cluster has no server ${JSON.stringify(name)}`);
    return found;
  }

  async dispose(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.dispose()));
  }
}

/** Ports that nobody listened on a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const listeners = await Promise.all(
    Array.from({ length: count }, async () => {
      const listener = createServer();
      await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
      return listener;
    }),
  );
  const ports = listeners.map((listener) => {
    const address: AddressInfo | string | null = listener.address();
    if (address === null || typeof address === "string") throw new Error("a listener without a port");
    return address.port;
  });
  await Promise.all(listeners.map((listener) => new Promise((resolve) => listener.close(resolve))));
  return ports;
}

/** Whether a NATS server says INFO on this port. */
export function greets(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const end = (greeted: boolean): void => {
      socket.destroy();
      resolve(greeted);
    };
    socket.setTimeout(1_000, () => end(false));
    socket.once("error", () => end(false));
    socket.once("close", () => end(false));
    socket.once("data", (bytes) => end(bytes.toString("latin1").startsWith("INFO ")));
  });
}

/** Resolves when the condition holds; fails, saying what was waited for, at the deadline. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  deadlineMs = 30_000,
): Promise<void> {
  const deadline = Date.now() + deadlineMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited ${deadlineMs} ms for ${what}`);
    await pause(RETRY_MS);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
