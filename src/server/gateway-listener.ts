import { setImmediate as nextTurn } from "node:timers/promises";
import { whyNotListening } from "./gateway-port.js";
import { type TemplatedApp, type us_listen_socket, uWS } from "./gateway-uws.js";

export interface ListenOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /**
   * True: by SO_REUSEPORT, so that every process of this user that does the same gets a share of the connections, also
   * one that is there by mistake: who starts the first must have probed that the port is free. False: exclusively.
   */
  readonly sharePort: boolean;
}

/** So short a time after the accept queue was seen empty, next to nothing is in it. */
const QUIET_MS = 0.05;
/** On a machine so busy that no moment is that quiet, twice as long a time will do after each of these, up to 1 ms. */
const PATIENCE_MS = 10;
const QUIET_MS_MAX = 1;

/** The port of one process, from the listen to the close. */
export class Listener {
  readonly port: number;
  readonly #socket: us_listen_socket;
  #state: "open" | "closing" | "closed" = "open";
  #closingMs = 0;
  #acceptedMs = 0;
  #closed: Promise<void> | undefined;

  private constructor(socket: us_listen_socket) {
    this.#socket = socket;
    this.port = uWS.us_socket_local_port(socket);
  }

  /** @throws Error where it cannot listen, saying why and what to do. */
  static async open(app: TemplatedApp, { host, port, sharePort }: ListenOptions): Promise<Listener> {
    // Not exclusive, a second program would share the port in silence and take half of the connections.
    const options = sharePort ? uWS.LIBUS_LISTEN_DEFAULT : uWS.LIBUS_LISTEN_EXCLUSIVE_PORT;
    const socket = await new Promise<us_listen_socket | false>((resolve) => {
      app.listen(host, port, options, resolve);
    });
    if (socket === false) throw await whyNotListening(host, port);
    return new Listener(socket);
  }

  /**
   * Listens no more, within about `deadlineMs`. What the kernel has queued for the listener at its close is reset, so it
   * waits for a moment at which that is next to nothing, and goes on accepting until then. What comes within that
   * moment, and what is half through its TCP handshake, the kernel hands on to other listeners of the port where
   * `net.ipv4.tcp_migrate_req` is 1, and resets otherwise.
   */
  close(deadlineMs: number): Promise<void> {
    this.#closed ??= this.#close(deadlineMs);
    return this.#closed;
  }

  /** To be called of every connection that is accepted. uWebSockets.js accepts until the queue is empty. */
  accepted(): void {
    if (this.#state === "closing") this.#acceptedMs = performance.now();
  }

  /** To be called in handlers of anything else: where accepting went before, it is over and the queue was empty just now. */
  handling(): void {
    if (this.#state === "closing" && this.#isQuiet(performance.now(), this.#acceptedMs)) this.#shut();
  }

  async #close(deadlineMs: number): Promise<void> {
    this.#state = "closing";
    this.#closingMs = performance.now();
    let turnMs = Number.NEGATIVE_INFINITY;
    for (;;) {
      await nextTurn();
      if (this.#hasClosed()) return;
      const nowMs = performance.now();
      // What was queued when this turn began is accepted by now.
      if (this.#isQuiet(nowMs, Math.max(turnMs, this.#acceptedMs)) || nowMs - this.#closingMs >= deadlineMs)
        break;
      turnMs = nowMs;
    }
    this.#shut();
  }

  #isQuiet(nowMs: number, emptyMs: number): boolean {
    const quietMs = QUIET_MS * 2 ** Math.floor((nowMs - this.#closingMs) / PATIENCE_MS);
    return nowMs - emptyMs <= Math.min(quietMs, QUIET_MS_MAX);
  }

  #hasClosed(): boolean {
    return this.#state === "closed";
  }

  #shut(): void {
    this.#state = "closed";
    uWS.us_listen_socket_close(this.#socket);
  }
}
