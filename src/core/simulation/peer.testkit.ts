import { decodeServer, encodeClient } from "../../protocol/client-wire.testkit.js";
import type { ClientFrame, ServerFrame } from "../../protocol/frames.js";
import type { RoomName } from "../../protocol/room-name.js";
import type { Scheduler } from "./scheduler.testkit.js";
import type { SimulatedSocket, SimulatedWorker, SocketPeer } from "./worker.testkit.js";

/** The far end of one socket after another: connects to any worker and again after each end, reads in its time, or not at all. */
export abstract class SimulatedPeer implements SocketPeer {
  protected readonly scheduler: Scheduler;
  protected socket: SimulatedSocket | undefined;
  /** It was welcomed. */
  protected isOpen = false;
  /** Of the next frame that wants an answer. */
  protected ref = 1;
  readonly #workers: readonly SimulatedWorker[];
  #isSlow = false;
  #isReading = false;

  /** Whoever extends it calls `connect` when it is ready. */
  constructor(scheduler: Scheduler, workers: readonly SimulatedWorker[]) {
    this.scheduler = scheduler;
    this.#workers = workers;
  }

  get isSlow(): boolean {
    return this.#isSlow;
  }

  /** Stops reading, or goes on. */
  setSlow(isSlow: boolean): void {
    this.#isSlow = isSlow;
    this.readable();
  }

  cut(): void {
    this.socket?.cut(1006);
  }

  publish(room: RoomName): void {
    if (this.isOpen) this.send({ type: "publish", ref: this.ref++, room, data: "client", key: undefined });
  }

  /** The socket has something to read. */
  readable(): void {
    if (this.#isReading || this.#isSlow) return;
    this.#isReading = true;
    this.scheduler.soon(10, () => {
      this.#isReading = false;
      if (this.#isSlow || this.socket === undefined) return;
      this.socket.read(1 + this.scheduler.random.below(4));
      if (this.socket !== undefined && this.socket.bufferedBytes() > 0) this.readable();
    });
  }

  received(bytes: Uint8Array, sentMs: number): void {
    for (const frame of decodeServer(bytes)) this.take(frame, sentMs);
  }

  closed(): void {
    this.socket = undefined;
    this.isOpen = false;
    this.scheduler.soon(100, () => this.connect());
  }

  /** `sentMs`: when the worker put it on the socket. */
  protected abstract take(frame: ServerFrame, sentMs: number): void;

  protected connect(): void {
    this.socket = this.scheduler.random.pick(this.#workers).connect(this);
  }

  protected send(frame: ClientFrame): void {
    this.socket?.write(encodeClient(frame));
  }
}
