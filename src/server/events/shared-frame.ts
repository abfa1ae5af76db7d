/** What a frame of the server says. */
export type FrameValue = readonly unknown[];

/** A frame that may go to many streams: read, or written down, once for all of them. */
export class SharedFrame {
  readonly #bytes: Uint8Array;
  /** Of `fanwire.v1`; else of `fanwire.v1.json`. */
  readonly #isBinary: boolean;
  #values: readonly FrameValue[] | undefined;
  #event: string | undefined;

  constructor(bytes: Uint8Array, isBinary: boolean) {
    this.#bytes = bytes;
    this.#isBinary = isBinary;
  }

  /** Of JSON only. */
  get values(): readonly FrameValue[] {
    this.#values ??= this.#lines().map((line) => JSON.parse(line) as FrameValue);
    return this.#values;
  }

  /** The whole frame as one event: JSON as its lines, MessagePack as base64. */
  get event(): string {
    if (this.#event === undefined) {
      const lines = this.#isBinary ? [this.#text("base64")] : this.#lines();
      this.#event = `${lines.map((line) => `data: ${line}\n`).join("")}\n`;
    }
    return this.#event;
  }

  #lines(): string[] {
    return this.#text("utf8")
      .split("\n")
      .filter((line) => line !== "");
  }

  #text(encoding: "utf8" | "base64"): string {
    const { buffer, byteOffset, byteLength } = this.#bytes;
    return Buffer.from(buffer, byteOffset, byteLength).toString(encoding);
  }
}
