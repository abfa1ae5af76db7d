import { connect, type Socket } from "node:net";
import { type HubRecord, WIRE_VERSION, type WorkerRecord } from "./record.js";
import { writeRecord } from "./record-codec.js";
import { RecordReader } from "./record-reader.js";
import { ScratchRecord } from "./scratch-record.js";

/** One record's bytes. */
export function bytesOf(record: WorkerRecord | HubRecord): Uint8Array {
  const target = new ScratchRecord();
  writeRecord(target, record);
  return target.record.slice();
}

/** A connection to a hub, with nothing of a link's care around it. */
export async function rawSocket(path: string): Promise<Socket> {
  const socket = connect(path);
  socket.on("error", () => {});
  await new Promise((resolve) => socket.once("connect", resolve));
  return socket;
}

/** Resolves when the socket is closed, whatever still comes. */
export async function closed(socket: Socket): Promise<void> {
  socket.resume();
  if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
}

/** A worker that says hello, keeps no window, and reads only when told to. */
export class RawPeer {
  readonly #socket: Socket;
  readonly #counts = new Map<number, number>();

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  static async connect(path: string): Promise<RawPeer> {
    const peer = new RawPeer(await rawSocket(path));
    peer.send({ type: "hello", version: WIRE_VERSION, worker: "raw" });
    return peer;
  }

  send(record: WorkerRecord): void {
    this.#socket.write(bytesOf(record));
  }

  read(): void {
    const reader = new RecordReader(10_000_000, (_bytes, view, start) => {
      const type = view.getUint8(start + 4);
      this.#counts.set(type, this.received(type) + 1);
    });
    this.#socket.on("data", (chunk) => reader.push(chunk));
  }

  /** Records of one type that were read. */
  received(type: number): number {
    return this.#counts.get(type) ?? 0;
  }
}
