import type { NatsLink } from "./connection.js";

/** Bytes that were handed to the connection and not yet taken by the server. */
export class Underway {
  readonly #link: NatsLink;
  #bytes = 0;
  #isFlushing = false;

  constructor(link: NatsLink) {
    this.#link = link;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(bytes: number): void {
    this.#bytes += bytes;
    if (!this.#isFlushing) void this.#flush();
  }

  async #flush(): Promise<void> {
    this.#isFlushing = true;
    while (this.#bytes > 0) {
      const bytes = this.#bytes;
      await this.#link.connection.flush().catch(() => undefined);
      this.#bytes -= bytes;
    }
    this.#isFlushing = false;
  }
}
