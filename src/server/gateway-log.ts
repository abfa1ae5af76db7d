/** What the gateway logs with; a pino logger is one. */
export interface GatewayLog {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

const LINES_PER_SWEEP = 20;

/** Lets a few lines of each message through between two sweeps and counts the rest, so that no client can fill the disk. */
export class BoundedLog implements GatewayLog {
  readonly #log: GatewayLog;
  readonly #lines = new Map<string, number>();

  constructor(log: GatewayLog) {
    this.#log = log;
  }

  info(details: object, message: string): void {
    if (this.#allows(message)) this.#log.info(details, message);
  }

  warn(details: object, message: string): void {
    if (this.#allows(message)) this.#log.warn(details, message);
  }

  error(details: object, message: string): void {
    if (this.#allows(message)) this.#log.error(details, message);
  }

  /** About once a second. */
  sweep(): void {
    for (const [message, lines] of this.#lines)
      if (lines > LINES_PER_SWEEP)
        this.#log.warn({ message, lines: lines - LINES_PER_SWEEP }, "more such lines left out");
    this.#lines.clear();
  }

  /** Messages are constant texts, so the map stays small. */
  #allows(message: string): boolean {
    const lines = (this.#lines.get(message) ?? 0) + 1;
    this.#lines.set(message, lines);
    return lines <= LINES_PER_SWEEP;
  }
}
