import { CodedError } from "../protocol/errors.js";
import type { KeptRevocation } from "../server/auth/revocations.js";
import type { RunningServer } from "../server/server.js";
import type { FromChild, ToChild } from "./ipc.js";

/** The supervisor does not keep anybody waiting; one that stands still for longer is no help. */
const ANSWER_MS = 5_000;

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (cause: Error) => void;
  readonly limit: NodeJS.Timeout;
}

/** A worker's side of the way that revocations take from one worker to all. */
export class RevocationLine {
  readonly #waiting = new Map<number, Waiting>();
  /** Those that came before the server. */
  #early: KeptRevocation[] = [];
  #server: RunningServer | undefined;
  #ids = 0;

  constructor() {
    process.on("message", (message: ToChild) => {
      if (message.kind === "revoke") this.#revoke(message.kept);
      if (message.kind === "spread") this.#answered(message.id, message.problem);
    });
  }

  /** From here on what others say is done here. */
  attach(server: RunningServer): void {
    this.#server = server;
    const early = this.#early;
    this.#early = [];
    this.#revoke(early);
  }

  /** Resolves once the supervisor has told all others, and will tell those who start later. */
  spread(kept: KeptRevocation): Promise<void> {
    this.#ids += 1;
    const id = this.#ids;
    return new Promise((resolve, reject) => {
      const limit = setTimeout(
        () => this.#answered(id, "the supervisor does not answer: other workers may not know"),
        ANSWER_MS,
      );
      this.#waiting.set(id, { resolve, reject, limit });
      const message: FromChild = { kind: "spread", id, kept };
      if (process.connected) process.send?.(message);
      else this.#answered(id, "the supervisor is gone: other workers do not know");
    });
  }

  #answered(id: number, problem: string | undefined): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    clearTimeout(waiting.limit);
    if (problem === undefined) waiting.resolve();
    else waiting.reject(new CodedError("unavailable", problem, ANSWER_MS));
  }

  #revoke(kept: readonly KeptRevocation[]): void {
    if (this.#server === undefined) this.#early.push(...kept);
    // What cannot be remembered is logged there.
    else this.#server.revoke(kept).catch(() => undefined);
  }
}
