import { type KeptRevocation, Revocations } from "../server/auth/revocations.js";
import type { Child } from "./child.js";

/** The supervisor's side: hands each revocation to every worker, and remembers it for those that start later. */
export class RevocationDesk {
  readonly #revocations: Revocations;
  readonly #workers: () => Iterable<Child>;

  /** @param workers All that live, those that are starting or leaving too. */
  constructor(max: number, workers: () => Iterable<Child>) {
    this.#revocations = new Revocations(max);
    this.#workers = workers;
  }

  take(from: Child, id: number, kept: KeptRevocation): void {
    let problem: string | undefined;
    try {
      this.#revocations.add(kept);
    } catch (cause) {
      problem = cause instanceof Error ? cause.message : String(cause);
    }
    // Those that run are told even where it cannot be remembered for others.
    for (const worker of this.#workers()) if (worker !== from) worker.tell({ kind: "revoke", kept });
    from.tell({ kind: "spread", id, problem });
  }

  sweep(nowSeconds: number): void {
    this.#revocations.sweep(nowSeconds);
  }

  list(): readonly KeptRevocation[] {
    return this.#revocations.list();
  }
}
