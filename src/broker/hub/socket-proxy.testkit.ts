import { connect, createServer, type Server, type Socket } from "node:net";

interface Pair {
  readonly worker: Socket;
  readonly hub: Socket;
}

/** Stands between links and a hub, and troubles them: holds back either direction, cuts connections at any byte. */
export class SocketProxy {
  readonly #server: Server;
  readonly #hubPath: string;
  readonly #pairs = new Set<Pair>();
  #holdsFlow = false;
  #holdsRequests = false;

  constructor(hubPath: string) {
    this.#hubPath = hubPath;
    this.#server = createServer((worker) => this.#connected(worker));
  }

  listen(path: string): Promise<void> {
    return new Promise((resolve) => this.#server.listen(path, resolve));
  }

  /** While true, the worker does not read what the hub sends. */
  holdFlow(hold: boolean): void {
    this.#holdsFlow = hold;
    for (const { hub } of this.#pairs) hold ? hub.pause() : hub.resume();
  }

  /** While true, the hub does not read what the worker sends. */
  holdRequests(hold: boolean): void {
    this.#holdsRequests = hold;
    for (const { worker } of this.#pairs) hold ? worker.pause() : worker.resume();
  }

  /** Cuts every connection, in the middle of whatever is on its way. */
  cut(): void {
    for (const { worker, hub } of this.#pairs) {
      worker.destroy();
      hub.destroy();
    }
  }

  dispose(): Promise<void> {
    this.cut();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  #connected(worker: Socket): void {
    const hub = connect(this.#hubPath);
    const pair = { worker, hub };
    this.#pairs.add(pair);
    forward(worker, hub, () => this.#holdsRequests);
    forward(hub, worker, () => this.#holdsFlow);
    for (const socket of [worker, hub]) {
      socket.on("error", () => {});
      socket.once("close", () => {
        this.#pairs.delete(pair);
        worker.destroy();
        hub.destroy();
      });
    }
    if (this.#holdsFlow) hub.pause();
    if (this.#holdsRequests) worker.pause();
  }
}

function forward(from: Socket, to: Socket, isHeld: () => boolean): void {
  from.on("data", (chunk) => {
    if (!to.write(chunk)) from.pause();
  });
  to.on("drain", () => {
    if (!isHeld()) from.resume();
  });
}
