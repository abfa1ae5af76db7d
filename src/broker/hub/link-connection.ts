import { connect, type Socket } from "node:net";
import type { HubLinkCounters } from "./hub-counters.js";
import { CHUNK_BYTES, RECORD_BYTES_MAX } from "./hub-limits.js";
import { MalformedRecord, WIRE_VERSION } from "./record.js";
import { readHubRecord, writeRecord } from "./record-codec.js";
import { RecordOutput } from "./record-output.js";
import { type OnRecord, RecordReader } from "./record-reader.js";

export interface LinkConnectionOptions {
  readonly socketPath: string;
  readonly worker: string;
  readonly counters: HubLinkCounters;
  /** Every record after the welcome. What it throws closes the link. */
  readonly onRecord: OnRecord;
  readonly onUp: (output: RecordOutput) => void;
  /** Only after onUp. */
  readonly onDown: () => void;
  readonly onError: (cause: unknown) => void;
}

/** Waits between attempts: soon, as a new hub is there within a second, and jittered, as all workers lost it at once. */
const RETRY_MS_MIN = 50;
const RETRY_MS_MAX = 500;
const RETRY_GROWTH = 1.5;
/** A hub that took the connection and says nothing is tried anew. */
const WELCOME_MS = 5_000;

type State =
  | { readonly kind: "connecting" | "up"; readonly socket: Socket; readonly output: RecordOutput }
  | { readonly kind: "waiting"; readonly timer: NodeJS.Timeout }
  | { readonly kind: "ended" };

/** Keeps one connection to the hub: connects at once, and again and again after it was lost, until it is ended. */
export class LinkConnection {
  readonly #options: LinkConnectionOptions;
  // One for the life of the link: every read goes into it.
  readonly #buffer = new Uint8Array(CHUNK_BYTES);
  #state: State;
  #failures = 0;

  constructor(options: LinkConnectionOptions) {
    this.#options = options;
    this.#state = this.#connect();
  }

  /** Closes for good. onDown is told where it was up. */
  end(): void {
    const state = this.#state;
    this.#state = { kind: "ended" };
    if (state.kind === "waiting") clearTimeout(state.timer);
    if (state.kind === "up" || state.kind === "connecting") this.#drop(state);
  }

  #connect(): State {
    const { socketPath, worker } = this.#options;
    const reader = new RecordReader(RECORD_BYTES_MAX, (...record) => this.#record(...record));
    const socket = connect({
      path: socketPath,
      onread: {
        buffer: this.#buffer,
        callback: (length, buffer) => {
          this.#read(socket, reader, buffer.subarray(0, length));
          return true;
        },
      },
    });
    const output = new RecordOutput(socket, (bytes) => {
      this.#options.counters.bytesOut += bytes;
    });
    const late = setTimeout(() => {
      if (this.#state.kind === "connecting") socket.destroy();
    }, WELCOME_MS);
    socket.once("connect", () => writeRecord(output, { type: "hello", version: WIRE_VERSION, worker }));
    // Whatever goes wrong with a socket ends in its close.
    socket.on("error", () => {});
    socket.once("close", () => {
      clearTimeout(late);
      reader.end();
      this.#closed(socket);
    });
    return { kind: "connecting", socket, output };
  }

  #read(socket: Socket, reader: RecordReader, chunk: Uint8Array): void {
    this.#options.counters.bytesIn += chunk.length;
    try {
      reader.push(chunk);
    } catch (cause) {
      if (cause instanceof MalformedRecord) this.#options.counters.malformed += 1;
      reader.end();
      socket.destroy();
      const { socketPath, onError } = this.#options;
      onError(new Error(`the link to ${socketPath} is closed: ${cause}`, { cause }));
    }
  }

  #record(bytes: Uint8Array, view: DataView, start: number, end: number): void {
    this.#options.counters.recordsIn += 1;
    const state = this.#state;
    if (state.kind === "up") {
      this.#options.onRecord(bytes, view, start, end);
      return;
    }
    if (state.kind !== "connecting") return;
    const welcome = readHubRecord(bytes, view, start, end);
    if (welcome.type !== "welcome") throw new MalformedRecord(`${welcome.type} before welcome`);
    if (welcome.version !== WIRE_VERSION)
      throw new Error(`the hub speaks version ${welcome.version}, this worker ${WIRE_VERSION}`);
    this.#failures = 0;
    this.#state = { ...state, kind: "up" };
    this.#options.counters.linked += 1;
    this.#options.onUp(state.output);
  }

  #closed(socket: Socket): void {
    const state = this.#state;
    if ((state.kind !== "up" && state.kind !== "connecting") || state.socket !== socket) return;
    const waitMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * RETRY_GROWTH ** this.#failures);
    this.#failures += 1;
    const timer = setTimeout(
      () => {
        this.#state = this.#connect();
      },
      waitMs * (0.5 + Math.random() / 2),
    );
    this.#state = { kind: "waiting", timer };
    this.#drop(state);
  }

  #drop(state: Extract<State, { readonly socket: Socket }>): void {
    state.output.close();
    state.socket.destroy();
    if (state.kind !== "up") return;
    this.#options.counters.lost += 1;
    this.#options.onDown();
  }
}
