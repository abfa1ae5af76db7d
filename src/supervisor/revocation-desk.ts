import { RevocationFile } from "../server/auth/revocation-file.js";
import { NOT_WRITTEN } from "../server/auth/revocation-memory.js";
import { type KeptRevocation, Revocations } from "../server/auth/revocations.js";
import type { Config } from "../server/config.js";
import type { Logger } from "../server/log.js";
import type { Child } from "./child.js";
import type { RevocationMessage } from "./ipc.js";

export interface RevocationDeskOptions {
  readonly config: Pick<Config, "auth">;
  /** All that live, those that are starting or leaving too. */
  readonly workers: () => Iterable<Child>;
  /** The hub that reaches other nodes. Undefined: there are none, or the worker hosts the broker and reaches them itself. */
  readonly carrier: () => Child | "away" | undefined;
  readonly log: Logger;
}

/** Below the time that a worker waits for its answer. */
const CARRY_MS = 4_800;
/** What waits for the hub; above, whoever revokes is told to come back. */
const CARRYING_MAX = 10_000;
const AWAY = "the tokens are void here, but other nodes cannot be told now: revoke them again";

/** The supervisor's side: hands each revocation to every worker, to other nodes and to a file, and remembers it for those that start later. */
export class RevocationDesk {
  readonly #options: RevocationDeskOptions;
  readonly #revocations: Revocations;
  readonly #file: RevocationFile | undefined;
  readonly #carrying = new Map<number, (problem: string | undefined) => void>();
  #ids = 0;

  /** @throws Error where the file that the configuration names is not what it should be. */
  constructor(options: RevocationDeskOptions) {
    const { revocations: max, revocationsFile: path } = options.config.auth;
    this.#options = options;
    this.#revocations = new Revocations(max);
    this.#file = path === "" ? undefined : new RevocationFile(path, max, Date.now() / 1_000);
    for (const kept of this.#file?.list() ?? []) this.#revocations.add(kept);
  }

  take(from: Child, message: RevocationMessage): void {
    switch (message.kind) {
      case "spread":
        void this.#spread(from, message.id, message.kept);
        break;
      case "carried":
        this.#carrying.get(message.id)?.(message.problem);
        break;
      case "learnt":
        this.#learn(message.kept);
        break;
    }
  }

  sweep(nowSeconds: number): void {
    this.#revocations.sweep(nowSeconds);
  }

  list(): readonly KeptRevocation[] {
    return this.#revocations.list();
  }

  close(): void {
    this.#file?.close();
  }

  /** All of it is done, whatever of it fails; the first that failed is told. */
  async #spread(from: Child, id: number, kept: KeptRevocation): Promise<void> {
    const problems = [this.#remember(kept)];
    // Those that run are told even where it cannot be remembered for others.
    for (const worker of this.#options.workers())
      if (worker !== from) worker.tell({ kind: "revoke", kept: [kept] });
    problems.push(await this.#carry(kept));
    from.tell({ kind: "spread", id, problem: problems.find((problem) => problem !== undefined) });
  }

  #remember(kept: KeptRevocation): string | undefined {
    try {
      this.#revocations.add(kept);
    } catch (cause) {
      return cause instanceof Error ? cause.message : String(cause);
    }
    try {
      this.#file?.append(kept, Date.now() / 1_000);
      return undefined;
    } catch (cause) {
      this.#options.log.error({ err: cause }, "a revocation could not be written down");
      return NOT_WRITTEN;
    }
  }

  /** Never rejects. */
  async #carry(kept: KeptRevocation): Promise<string | undefined> {
    const hub = this.#options.carrier();
    if (hub === undefined) return undefined;
    if (hub === "away" || this.#carrying.size >= CARRYING_MAX) return AWAY;
    this.#ids += 1;
    const id = this.#ids;
    const problem = await new Promise<string | undefined>((resolve) => {
      const limit = setTimeout(() => resolve(AWAY), CARRY_MS);
      this.#carrying.set(id, (said) => {
        clearTimeout(limit);
        resolve(said);
      });
      hub.tell({ kind: "carry", id, kept });
    });
    this.#carrying.delete(id);
    return problem;
  }

  /** What is known already comes back from the broker, too. */
  #learn(kept: readonly KeptRevocation[]): void {
    const fresh = kept.filter((one) => !this.#revocations.has(one));
    if (fresh.length === 0) return;
    for (const one of fresh) {
      const problem = this.#remember(one);
      if (problem !== undefined) this.#options.log.error({ problem }, "a revocation of another node");
    }
    for (const worker of this.#options.workers()) worker.tell({ kind: "revoke", kept: fresh });
  }
}
