import type { RecordTarget } from "./record.js";

/** Holds one record, until the next is written. */
export class ScratchRecord implements RecordTarget {
  bytes = new Uint8Array(1_024);
  view = new DataView(this.bytes.buffer);
  #length = 0;

  /** The record written last. */
  get record(): Uint8Array {
    return this.bytes.subarray(0, this.#length);
  }

  reserve(size: number): number {
    if (size > this.bytes.length) {
      this.bytes = new Uint8Array(2 * size);
      this.view = new DataView(this.bytes.buffer);
    }
    this.#length = size;
    return 0;
  }
}
