import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
  /** What the client called itself; "" until it has said so. */
  name: string;
}

/**
 * How the way is:
 * - open: everything passes.
 * - closed: there is nobody; connections that were there have been reset.
 * - silent: packets vanish. Connections stay, nothing comes; when the way is open again what was sent comes late.
 */
export type Way = "open" | "closed" | "silent";

/** Stands between a node and one NATS server, and troubles the way. */
export class NatsProxy {
  readonly #listener: Server;
  readonly #target: number;
  readonly #pairs = new Set<Pair>();
  #way: Way = "open";
  /** Of messages that the server sends, those whose subject it is asked about and that do not arrive. */
  #loses: (subject: string) => boolean = () => false;
  /** Messages that were lost on purpose. */
  lost = 0;

  private constructor(target: number) {
    this.#target = target;
    this.#listener = createServer((client) => this.#accept(client));
  }

  /** @param target Port of the server. */
  static async start(target: number): Promise<NatsProxy> {
    const proxy = new NatsProxy(target);
    await new Promise<void>((resolve) => proxy.#listener.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get url(): string {
    const address: AddressInfo | string | null = this.#listener.address();
    if (address === null || typeof address === "string") throw new Error("the proxy does not listen");
    return `nats://127.0.0.1:${address.port}`;
  }

  /** Whether a client of this name is connected through here. */
  carries(name: string): boolean {
    return [...this.#pairs].some((pair) => pair.name === name);
  }

  become(way: Way): void {
    this.#way = way;
    for (const { client, server } of [...this.#pairs]) {
      if (way === "closed") {
        client.resetAndDestroy();
        server.resetAndDestroy();
      } else if (way === "silent") {
        client.pause();
        server.pause();
      } else {
        client.resume();
        server.resume();
      }
    }
  }

  /** From here on the server's messages of such subjects do not arrive. Undefined: all do. */
  lose(subjects: ((subject: string) => boolean) | undefined): void {
    this.#loses = subjects ?? (() => false);
  }

  async dispose(): Promise<void> {
    this.become("closed");
    await new Promise((resolve) => this.#listener.close(resolve));
  }

  #accept(client: Socket): void {
    client.on("error", () => undefined);
    if (this.#way === "closed") {
      client.resetAndDestroy();
      return;
    }
    const server = connect(this.#target, "127.0.0.1");
    server.on("error", () => undefined);
    const pair: Pair = { client, server, name: "" };
    this.#pairs.add(pair);
    const messages = new MessageFilter((subject) => {
      if (!this.#loses(subject)) return true;
      this.lost += 1;
      return false;
    });
    client.on("data", (bytes) => {
      if (pair.name === "") pair.name = /"name":"([^"]*)"/.exec(bytes.toString("latin1"))?.[1] ?? "";
      server.write(bytes);
    });
    server.on("data", (bytes) => {
      let isTaken = true;
      for (const part of messages.take(bytes)) isTaken = client.write(part);
      // So that the server notices who does not read.
      if (!isTaken) server.pause();
    });
    client.on("drain", () => {
      if (this.#way === "open") server.resume();
    });
    for (const socket of [client, server]) {
      socket.once("close", () => {
        this.#pairs.delete(pair);
        client.destroy();
        server.destroy();
      });
    }
    if (this.#way === "silent") {
      client.pause();
      server.pause();
    }
  }
}

/** Cuts what a server sends into its operations, and leaves out messages. */
class MessageFilter {
  readonly #passes: (subject: string) => boolean;
  #rest = Buffer.alloc(0);

  constructor(passes: (subject: string) => boolean) {
    this.#passes = passes;
  }

  take(bytes: Buffer): Buffer[] {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    const out: Buffer[] = [];
    let at = 0;
    for (;;) {
      const line = all.indexOf("\r\n", at);
      if (line < 0) break;
      const words = all.toString("latin1", at, line).split(" ");
      const isMessage = words[0] === "MSG" || words[0] === "HMSG";
      const end = line + 2 + (isMessage ? Number(words.at(-1)) + 2 : 0);
      if (end > all.length) break;
      if (!isMessage || this.#passes(words[1] ?? "")) out.push(all.subarray(at, end));
      at = end;
    }
    this.#rest = Buffer.from(all.subarray(at));
    return out;
  }
}
