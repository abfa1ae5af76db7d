import { CodedError, toCodedError } from "../../protocol/errors.js";
import type { Config } from "../config.js";
import type { Logger } from "../log.js";
import { RevocationFile } from "./revocation-file.js";
import type { KeptRevocation, Revocations } from "./revocations.js";

/** Where revocations of one process come from and go to. */
export interface RevocationWays {
  /** Those that were made before this process started. */
  readonly revocations?: readonly KeptRevocation[];
  /** Tells other processes, and whoever remembers. */
  readonly spread?: (kept: KeptRevocation) => Promise<void>;
}

/** Told to whoever revokes, who is not told of files. */
export const NOT_WRITTEN = "the tokens are void, but that could not be kept for a restart: revoke them again";

const RETRY_MS = 5_000;

/** What closes connections whose tokens are void. */
interface Closer {
  closeRevoked(): Promise<void>;
}

/** The process as it serves. */
interface House {
  readonly revocations: Revocations;
  readonly closer: Closer;
  readonly log: Logger;
}

/** One process's revocations: takes them in from wherever they come, from before the start on, and hands its own on. */
export class RevocationMemory {
  readonly #spread: RevocationWays["spread"];
  readonly #file: RevocationFile | undefined;
  /** Those that came before there was anybody to close. */
  readonly #early: KeptRevocation[];
  #house: House | undefined;

  private constructor(ways: RevocationWays, file: RevocationFile | undefined) {
    this.#spread = ways.spread;
    this.#file = file;
    this.#early = [...(ways.revocations ?? []), ...(file?.list() ?? [])];
  }

  /** @throws Error where the file that the configuration names is not what it should be. */
  static open({ auth }: Config, ways: RevocationWays): RevocationMemory {
    const isAlone = ways.spread === undefined && auth.revocationsFile !== "";
    const file = isAlone
      ? new RevocationFile(auth.revocationsFile, auth.revocations, Date.now() / 1_000)
      : undefined;
    return new RevocationMemory(ways, file);
  }

  /** From here on connections are closed. */
  async attach(revocations: Revocations, closer: Closer, log: Logger): Promise<void> {
    this.#house = { revocations, closer, log };
    const early = this.#early.splice(0);
    // What cannot be remembered is logged, and no reason not to serve.
    await this.revoke(early).catch(() => undefined);
  }

  /** What others made void. Never throws. */
  learn(kept: readonly KeptRevocation[]): void {
    this.revoke(kept).catch(() => undefined);
  }

  /** Makes tokens void here. Rejects with the last CodedError where some could not be remembered. */
  async revoke(kept: readonly KeptRevocation[]): Promise<void> {
    const house = this.#house;
    if (house === undefined) {
      this.#early.push(...kept);
      return;
    }
    const { revocations, closer, log } = house;
    let problem: unknown;
    let isNew = false;
    for (const one of kept) {
      if (revocations.has(one)) continue;
      try {
        revocations.add(one);
        isNew = true;
      } catch (cause) {
        problem = cause;
        log.error({ err: cause }, "a revocation could not be remembered");
      }
    }
    // All connections are looked at for it.
    if (isNew) await closer.closeRevoked();
    if (problem !== undefined) throw toCodedError(problem);
  }

  /**
   * Hands one on that was made here: to the other processes, to the other nodes by the broker of this process, to the file. All of
   * it is tried. Rejects where somebody may not know.
   */
  async spread(
    kept: KeptRevocation,
    byBroker: ((kept: KeptRevocation) => Promise<void>) | undefined,
  ): Promise<void> {
    const outcomes = await Promise.allSettled([this.#spread?.(kept), byBroker?.(kept), this.#write(kept)]);
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  async #write(kept: KeptRevocation): Promise<void> {
    try {
      this.#file?.append(kept, Date.now() / 1_000);
    } catch (cause) {
      this.#house?.log.error({ err: cause }, "a revocation could not be written down");
      throw new CodedError("unavailable", NOT_WRITTEN, RETRY_MS);
    }
  }

  close(): void {
    this.#file?.close();
  }
}
