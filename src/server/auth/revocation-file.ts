import {
  appendFileSync,
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { parseKept, textOfKept } from "./kept-revocation.js";
import { type KeptRevocation, Revocations } from "./revocations.js";

/** A file that begins anew when it has so many lines more than are good. */
const STALE_LINES_MAX = 10_000;
/** It names subjects of tokens. */
const MODE = 0o600;

/**
 * Revocations that outlive the process: a line each in a file of one process. What {@link RevocationFile.append} has returned
 * from is on the disk. A last line that was cut off by a crash had not been answered, and is left out.
 */
export class RevocationFile {
  readonly #path: string;
  readonly #max: number;
  readonly #staleLinesMax: number;
  #descriptor: number;
  #lines = 0;
  /** A write has failed, maybe amid a line. */
  #torn = false;
  readonly #good: Revocations;

  /** @throws Error where the file cannot be read or written, or holds something else: it stays as it is then. */
  constructor(path: string, max: number, nowSeconds: number, staleLinesMax = STALE_LINES_MAX) {
    this.#path = path;
    this.#max = max;
    this.#staleLinesMax = staleLinesMax;
    this.#good = this.#read(nowSeconds);
    this.#descriptor = this.#rewrite();
  }

  /** All that are still good. */
  list(): readonly KeptRevocation[] {
    return this.#good.list();
  }

  /** @throws Error where it cannot be written, or no more can be remembered. */
  append(kept: KeptRevocation, nowSeconds: number): void {
    this.#good.add(kept);
    if (this.#torn || this.#lines >= this.#good.size + this.#staleLinesMax) {
      this.#good.sweep(nowSeconds);
      const fresh = this.#rewrite();
      closeSync(this.#descriptor);
      this.#descriptor = fresh;
      this.#torn = false;
      return;
    }
    try {
      appendFileSync(this.#descriptor, `${textOfKept(kept)}\n`);
      fsyncSync(this.#descriptor);
      this.#lines += 1;
    } catch (cause) {
      this.#torn = true;
      throw this.#trouble(cause);
    }
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  #read(nowSeconds: number): Revocations {
    const good = new Revocations(this.#max);
    const lines = this.#text().split("\n");
    // What follows the last line end: nothing, or what a crash has cut off.
    lines.pop();
    for (const [index, line] of lines.entries()) {
      try {
        const kept = parseKept(line);
        if (kept.until > nowSeconds) good.add(kept);
      } catch (cause) {
        const why = cause instanceof Error ? cause.message : String(cause);
        throw new Error(`auth.revocationsFile ${this.#path}, line ${index + 1}: ${why}`);
      }
    }
    return good;
  }

  #text(): string {
    try {
      return readFileSync(this.#path, "utf8");
    } catch (cause) {
      if (isMissing(cause)) return "";
      throw this.#trouble(cause);
    }
  }

  /** The file with what is good only, whole at every moment. Returns it, open to append. */
  #rewrite(): number {
    const next = `${this.#path}.next`;
    try {
      const kept = this.#good.list();
      const descriptor = openSync(next, "w", MODE);
      writeFileSync(descriptor, kept.map((one) => `${textOfKept(one)}\n`).join(""));
      fsyncSync(descriptor);
      renameSync(next, this.#path);
      syncFolder(dirname(this.#path));
      this.#lines = kept.length;
      return descriptor;
    } catch (cause) {
      throw this.#trouble(cause);
    }
  }

  #trouble(cause: unknown): Error {
    return new Error(
      `auth.revocationsFile ${this.#path}: ${cause instanceof Error ? cause.message : String(cause)}`,
    );
  }
}

function isMissing(cause: unknown): boolean {
  return cause instanceof Error && "code" in cause && cause.code === "ENOENT";
}

/** So that the name, too, is there after a power cut. */
function syncFolder(path: string): void {
  const folder = openSync(path, "r");
  fsyncSync(folder);
  closeSync(folder);
}
