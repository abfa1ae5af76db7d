import { connect, createServer, type Server, type Socket } from "node:net";
import type { TestContext } from "node:test";

/** How a network treats whoever asks for a WebSocket. */
export type Upgrades = "pass" | "refuse" | "cut" | "hang";

/** A network that lets HTTP through, and does to WebSockets what the test says. */
export class Tunnel {
  readonly #listener: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  readonly #targetPort: number;
  /** "refuse": an answer of its own; "cut": none; "hang": none, and the connection stays. */
  upgrades: Upgrades;
  /** What it serves itself, under /app/, by name. */
  files: ReadonlyMap<string, string> = new Map();
  /** Which of these were asked for. */
  readonly served: string[] = [];
  /** Batches whose answers are lost, the next so many. */
  lost = 0;
  /** WebSockets that were asked for. */
  asked = 0;

  private constructor(targetPort: number, upgrades: Upgrades) {
    this.#targetPort = targetPort;
    this.upgrades = upgrades;
    this.#listener = createServer((client) => this.#take(client));
  }

  static async start(t: TestContext, targetPort: number, upgrades: Upgrades): Promise<Tunnel> {
    const tunnel = new Tunnel(targetPort, upgrades);
    await new Promise<void>((resolve) => tunnel.#listener.listen(0, "127.0.0.1", resolve));
    t.after(() => {
      tunnel.#listener.close();
      tunnel.cut();
    });
    return tunnel;
  }

  get port(): number {
    const address = this.#listener.address();
    if (address === null || typeof address === "string") throw new Error("the tunnel does not listen");
    return address.port;
  }

  /** Breaks every connection, data on its way included. */
  cut(): void {
    for (const [client, server] of this.#pairs) {
      client.destroy();
      server.destroy();
    }
  }

  #take(client: Socket): void {
    const server = connect(this.#targetPort, "127.0.0.1");
    const pair = [client, server] as const;
    this.#pairs.add(pair);
    for (const socket of pair) {
      // A reset is one way to end; `close` follows.
      socket.on("error", () => undefined);
      socket.on("close", () => {
        this.#pairs.delete(pair);
        client.destroy();
        server.destroy();
      });
    }
    // Handshakes come alone and whole, on connections of their own.
    client.once("data", (bytes) => {
      if (this.#serves(client, bytes)) return;
      if (/^upgrade: *websocket/im.test(bytes.toString("latin1"))) {
        this.asked += 1;
        if (this.upgrades === "refuse") client.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
        if (this.upgrades === "cut") client.destroy();
        if (this.upgrades !== "pass") return;
      }
      this.#pass(client, server, bytes);
    });
  }

  #serves(client: Socket, bytes: Uint8Array): boolean {
    const [, name] = /^GET \/app\/(\S+) /.exec(Buffer.from(bytes).toString("latin1")) ?? [];
    if (name === undefined) return false;
    this.served.push(name);
    const body = Buffer.from(this.files.get(name) ?? "");
    const type = name === "page" ? "text/html" : "text/javascript";
    const head = `HTTP/1.1 200 OK\r\ncontent-type: ${type}\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n`;
    client.end(Buffer.concat([Buffer.from(head), body]));
    return true;
  }

  #pass(client: Socket, server: Socket, first: Uint8Array): void {
    let isLosing = false;
    const ask = (bytes: Uint8Array): void => {
      if (this.#serves(client, bytes)) return;
      if (this.lost > 0 && Buffer.from(bytes).toString("latin1").startsWith("POST /v1/messages")) {
        this.lost -= 1;
        isLosing = true;
      }
      forward(client, server, bytes);
    };
    ask(first);
    client.on("data", ask);
    server.on("data", (bytes) => {
      if (isLosing) client.destroy();
      else forward(server, client, bytes);
    });
  }
}

function forward(from: Socket, to: Socket, bytes: Uint8Array): void {
  if (to.write(bytes)) return;
  from.pause();
  to.once("drain", () => from.resume());
}
