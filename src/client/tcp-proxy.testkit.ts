import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import type { TestContext } from "node:test";

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
}

/** A network between clients and one server, for the test to break. */
export class TcpProxy {
  readonly #listener: Server;
  readonly #pairs = new Set<Pair>();
  #targetPort: number;
  #refusing = false;
  #cutAfterBytes = Number.POSITIVE_INFINITY;
  /** Connections taken, those refused left out. */
  connections = 0;

  private constructor(targetPort: number) {
    this.#targetPort = targetPort;
    this.#listener = createServer((client) => this.#take(client));
  }

  static async start(t: TestContext, targetPort: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(targetPort);
    await new Promise<void>((resolve) => proxy.#listener.listen(0, "127.0.0.1", resolve));
    t.after(() => {
      proxy.#listener.close();
      proxy.cut();
    });
    return proxy;
  }

  get port(): number {
    const address: AddressInfo | string | null = this.#listener.address();
    if (address === null || typeof address === "string") throw new Error("the proxy does not listen");
    return address.port;
  }

  /** Breaks every connection, data on its way included. */
  cut(): void {
    for (const { client, server } of this.#pairs) {
      client.destroy();
      server.destroy();
    }
  }

  /** Breaks the connection that brings this many more bytes to a client, in the middle of whatever it is. */
  cutAfter(bytes: number): void {
    this.#cutAfterBytes = bytes;
  }

  /** Half-open for good: connections stay, and nothing passes in either direction. New ones work. */
  stall(): void {
    for (const { client, server } of this.#pairs) {
      client.pause();
      server.pause();
    }
  }

  /** The clients stop reading; the server's writes pile up. */
  pauseReading(): void {
    for (const { server } of this.#pairs) server.pause();
  }

  resumeReading(): void {
    for (const { server } of this.#pairs) server.resume();
  }

  /** Breaks every connection and takes no new one until told otherwise. */
  refuse(refusing: boolean): void {
    this.#refusing = refusing;
    if (refusing) this.cut();
  }

  /** Where new connections go. */
  retarget(port: number): void {
    this.#targetPort = port;
  }

  #take(client: Socket): void {
    if (this.#refusing) {
      client.destroy();
      return;
    }
    this.connections++;
    const server = connect(this.#targetPort, "127.0.0.1");
    const pair: Pair = { client, server };
    this.#pairs.add(pair);
    const end = (): void => {
      this.#pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) {
      // A reset is one way to end; `close` follows.
      socket.on("error", () => undefined);
      socket.on("close", end);
    }
    client.on("data", (bytes) => forward(client, server, bytes));
    server.on("data", (bytes) => {
      if (bytes.length >= this.#cutAfterBytes) {
        const last = bytes.subarray(0, this.#cutAfterBytes);
        this.#cutAfterBytes = Number.POSITIVE_INFINITY;
        client.end(last);
        server.destroy();
        return;
      }
      this.#cutAfterBytes -= bytes.length;
      forward(server, client, bytes);
    });
  }
}

function forward(from: Socket, to: Socket, bytes: Uint8Array): void {
  if (to.write(bytes)) return;
  from.pause();
  to.once("drain", () => from.resume());
}
