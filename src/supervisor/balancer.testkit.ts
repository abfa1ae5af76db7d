import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import type { TestContext } from "node:test";

/** One address for several nodes: new connections go to whichever is chosen, as with a load balancer that sees who lives. */
export class Balancer {
  readonly #listener: Server;
  readonly #sockets = new Set<Socket>();
  /** Port of the node that gets new connections. */
  target: number;

  private constructor(target: number) {
    this.target = target;
    this.#listener = createServer((client) => this.#accept(client));
  }

  static async start(t: TestContext, target: number): Promise<Balancer> {
    const balancer = new Balancer(target);
    await new Promise<void>((resolve) => balancer.#listener.listen(0, "127.0.0.1", resolve));
    t.after(() => {
      balancer.#listener.close();
      for (const socket of balancer.#sockets) socket.destroy();
    });
    return balancer;
  }

  get url(): string {
    const address: AddressInfo | string | null = this.#listener.address();
    if (address === null || typeof address === "string") throw new Error("the balancer does not listen");
    return `http://127.0.0.1:${address.port}`;
  }

  #accept(client: Socket): void {
    const node = connect(this.target, "127.0.0.1");
    for (const [socket, other] of [
      [client, node],
      [node, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      socket.once("close", () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  }
}
