import uWS, { type TemplatedApp, type us_listen_socket } from "uWebSockets.js";
import { setImmediate as nextTurn } from "node:timers/promises";
import { whyNotListening } from "./gateway-port.js";

declare module "uWebSockets.js" {
  /** Declared by the package as a member of an enum that does not exist when it runs. */
  const LIBUS_LISTEN_DEFAULT: number;
  const LIBUS_LISTEN_EXCLUSIVE_PORT: number;
  interface TemplatedApp {
    /** The form with host and options, which the package's types leave out. */
    listen(
      host: string,
      port: number,
      options: number,
      cb: (listenSocket: us_listen_socket | false) => void,
    ): TemplatedApp;
  }
}

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

/** A turn of the loop this short leaves next to nothing in the accept queue. Doubles as long as none is. */
const QUIET_MS = 0.1;
const QUIET_GROWS_MS = 10;

/** The port of one process, from the listen to the close. */
export class Listener {
  readonly port: number;
  #socket: us_listen_socket | undefined;
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
   * waits for a turn of the loop that was short: each turn accepts all that is queued, so what is left came within that
   * turn. What came so late, and what is half through its TCP handshake, the kernel hands on to other listeners of
   * the port where `net.ipv4.tcp_migrate_req` is 1.
   */
  close(deadlineMs: number): Promise<void> {
    this.#closed ??= this.#close(deadlineMs);
    return this.#closed;
  }

  async #close(deadlineMs: number): Promise<void> {
    const startMs = performance.now();
    let turnMs = startMs;
    for (;;) {
      await nextTurn();
      const nowMs = performance.now();
      const quietMs = QUIET_MS * 2 ** ((nowMs - startMs) / QUIET_GROWS_MS);
      if (nowMs - turnMs <= quietMs || nowMs - startMs >= deadlineMs) break;
      turnMs = performance.now();
    }
    if (this.#socket !== undefined) uWS.us_listen_socket_close(this.#socket);
    this.#socket = undefined;
  }
}
