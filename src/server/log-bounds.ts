/** Lines of one kind that a process writes a second. */
export const LINES_PER_SECOND = 20;

/** Kinds that are told apart within a second: texts are constants of the code, nearly all. */
const KINDS_MAX = 200;
const OTHERS = "others";
const SECOND_MS = 1_000;

/** What was left out of one kind of lines in a second. */
export interface LeftOut {
  readonly message: string;
  readonly lines: number;
}

/**
 * Lets some lines of each kind through a second and counts the rest, so that no client can fill the disk. What was left
 * out is told when the second is over.
 */
export class LogBounds {
  readonly #tell: (leftOut: LeftOut) => void;
  readonly #lines = new Map<string, number>();
  #sinceMs = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  constructor(tell: (leftOut: LeftOut) => void) {
    this.#tell = tell;
  }

  /** Whether a line of this kind may be written. @param nowMs On a clock that never goes back. */
  allows(message: string, nowMs: number): boolean {
    if (nowMs - this.#sinceMs >= SECOND_MS) {
      this.flush();
      this.#sinceMs = nowMs;
    }
    const kind = this.#lines.has(message) || this.#lines.size < KINDS_MAX ? message : OTHERS;
    const lines = (this.#lines.get(kind) ?? 0) + 1;
    this.#lines.set(kind, lines);
    if (lines <= LINES_PER_SECOND) return true;
    // Perhaps no other line comes; and nothing waits for this one.
    this.#timer ??= setTimeout(() => this.flush(), SECOND_MS).unref();
    return false;
  }

  /** Tells what was left out so far, and begins anew. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const all = [...this.#lines];
    this.#lines.clear();
    for (const [message, lines] of all)
      if (lines > LINES_PER_SECOND) this.#tell({ message, lines: lines - LINES_PER_SECOND });
  }
}
