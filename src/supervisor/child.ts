import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { EngineLook, RoomReport } from "../core/engine.js";
import type { RoomName } from "../protocol/room-name.js";
import type {
  BeatMessage,
  FromChild,
  RevocationMessage,
  RoomAskedMessage,
  StartMessage,
  ToChild,
} from "./ipc.js";
import { WORKER_NODE_ARGS } from "./node-args.js";
import { Questions } from "./questions.js";
import type { OtherNodes } from "./room-inspection.js";

export type Role = "worker" | "hub";

export interface ChildOptions {
  readonly role: Role;
  readonly start: StartMessage;
  /** Told what it says of revocations. */
  readonly onRevocation: (from: Child, message: RevocationMessage) => void;
  /** Told that another node asks what this one has of a room. */
  readonly onRoomAsked: (from: Child, message: RoomAskedMessage) => void;
  /** It has ended; its totals are as it said them last. */
  readonly onEnd: (last: BeatMessage) => void;
}

export type ChildState =
  | { readonly kind: "starting" }
  | { readonly kind: "ready" }
  | { readonly kind: "draining" }
  | { readonly kind: "ended"; readonly ending: Ending };

/** How a process ended: `code` or `signal`, with its own words where it had any. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly reason: string | undefined;
}

/** A worker whose loop is later than this is not waited for; nor is one that asks other nodes for longer. */
const INSPECT_MS = 2_000;
const NODES_MS = 4_000;

/** Where the programs of the children stand, and what Node is given with them. */
const PROGRAMS: Record<Role, { readonly file: string; readonly nodeArgs: readonly string[] }> = {
  worker: { file: "./worker-main.js", nodeArgs: WORKER_NODE_ARGS },
  hub: { file: "./hub-main.js", nodeArgs: [] },
};

/** One forked process. */
export class Child {
  readonly role: Role;
  readonly index: number;
  readonly startedMs = performance.now();
  /** Resolves when it serves; rejects where it ends before that. */
  readonly ready: Promise<void>;
  readonly ended: Promise<Ending>;
  state: ChildState = { kind: "starting" };
  /** When it last showed that its loop turns, by `performance.now()`. */
  beatMs = performance.now();
  report: BeatMessage | undefined;
  /** When that came, by `performance.now()`. */
  reportMs = 0;
  /** What it said when it was last asked by {@link Child.askLook}. */
  look: EngineLook | undefined;
  readonly #inspections = new Questions<RoomReport | "closed">(INSPECT_MS);
  readonly #nodeQuestions = new Questions<OtherNodes>(NODES_MS);
  readonly #process: ChildProcess;
  readonly #onRevocation: ChildOptions["onRevocation"];
  readonly #onRoomAsked: ChildOptions["onRoomAsked"];
  #refusal: string | undefined;

  constructor({ role, start, onRevocation, onRoomAsked, onEnd }: ChildOptions) {
    this.role = role;
    this.#onRevocation = onRevocation;
    this.#onRoomAsked = onRoomAsked;
    this.index = start.index;
    const { file, nodeArgs } = PROGRAMS[role];
    // What stdin says is for nobody; logs of all processes go to the one stderr.
    this.#process = fork(fileURLToPath(new URL(file, import.meta.url)), [String(start.index)], {
      execArgv: [...nodeArgs],
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    const ready = deferred<void>();
    const ended = deferred<Ending>();
    this.ready = ready.promise;
    this.ended = ended.promise;
    // Whoever does not wait for it learns of the end by `ended`.
    this.ready.catch(() => {});
    this.#process.on("message", (message) => this.#take(message as FromChild, ready.resolve));
    const end = (code: number | null, signal: NodeJS.Signals | null, reason: string | undefined): void => {
      if (this.state.kind === "ended") return;
      const ending: Ending = { code, signal, reason };
      this.state = { kind: "ended", ending };
      ready.reject(new Error(`${this.name} ${endingText(ending)}`));
      if (this.report !== undefined) onEnd(this.report);
      ended.resolve(ending);
    };
    // Could not be forked, or not be told: the exit follows, or there never was a process.
    this.#process.once("error", (cause) => {
      this.#refusal ??= cause.message;
      if (this.#process.pid === undefined) end(null, null, cause.message);
    });
    this.#process.once("exit", (code, signal) => end(code, signal, this.#refusal));
    this.tell(start);
  }

  get name(): string {
    return `${this.role} ${this.index}`;
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  get isAlive(): boolean {
    return this.state.kind !== "ended";
  }

  drain(seconds: number): void {
    if (!this.isAlive) return;
    this.state = { kind: "draining" };
    this.tell({ kind: "drain", seconds });
  }

  /** At once, whatever it does. Works on a stopped process too. */
  kill(): void {
    this.#process.kill("SIGKILL");
  }

  #take(message: FromChild, resolveReady: () => void): void {
    this.beatMs = performance.now();
    switch (message.kind) {
      case "ready":
        if (this.state.kind === "starting") this.state = { kind: "ready" };
        resolveReady();
        break;
      case "refused":
        this.#refusal = message.reason;
        break;
      case "beat":
        this.report = message;
        this.reportMs = this.beatMs;
        break;
      case "look":
        this.look = message.look;
        break;
      case "inspected":
        this.#inspections.answered(message.id, message.report ?? "closed");
        break;
      case "nodesAnswered":
        this.#nodeQuestions.answered(message.id, message.others);
        break;
      case "roomAsked":
        this.#onRoomAsked(this, message);
        break;
      case "spread":
      case "carried":
      case "learnt":
        this.#onRevocation(this, message);
        break;
    }
  }

  /** Only workers answer. */
  askLook(rooms: readonly RoomName[]): void {
    if (this.state.kind === "ready") this.tell({ kind: "look", rooms });
  }

  /** What a worker has of a room; `silent` where no answer comes in time. */
  async inspect(room: RoomName): Promise<RoomReport | "closed" | "silent"> {
    // Before it serves nobody is there.
    if (this.state.kind === "starting" || this.state.kind === "ended") return "closed";
    return (await this.#inspections.ask((id) => this.tell({ kind: "inspect", id, room }))) ?? "silent";
  }

  /** What other nodes have of a room, of the process that reaches them; undefined where no answer comes in time. */
  askNodes(room: RoomName): Promise<OtherNodes | undefined> {
    return this.#nodeQuestions.ask((id) => this.tell({ kind: "askNodes", id, room }));
  }

  tell(message: ToChild): void {
    // An error means that it is gone or going: the exit tells.
    if (this.#process.connected) this.#process.send(message, () => {});
  }
}

interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (cause: Error) => void;
}

function deferred<T>(): Deferred<T> {
  let resolve: (value: T) => void = () => {};
  let reject: (cause: Error) => void = () => {};
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}

export function endingText({ code, signal, reason }: Ending): string {
  const how =
    signal !== null
      ? `was ended by ${signal}`
      : code === null
        ? "could not be started"
        : `ended with code ${code}`;
  return reason === undefined ? how : `${how}: ${reason}`;
}
