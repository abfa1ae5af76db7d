import { existsSync, readFileSync, writeFileSync } from "node:fs";

/** Finished turns by what was measured, in a file. */
export class ResultsFile<T extends { readonly kind: "seen" | "failed" }> {
  readonly #path: string;
  readonly #outcomes: Record<string, T>;

  constructor(path: string) {
    this.#path = path;
    // Written by this program alone.
    this.#outcomes = existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as Record<string, T>) : {};
  }

  /** A turn that failed is tried again. */
  get(key: string): T | undefined {
    const outcome = this.#outcomes[key];
    return outcome?.kind === "seen" ? outcome : undefined;
  }

  set(key: string, outcome: T): void {
    this.#outcomes[key] = outcome;
    writeFileSync(this.#path, `${JSON.stringify(this.#outcomes, undefined, 1)}\n`);
  }
}
