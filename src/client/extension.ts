/** A MessagePack extension value other than a timestamp, which is a Date. */
export class Extension {
  /** -128 to 127; the negative ones are MessagePack's own. */
  readonly type: number;
  readonly bytes: Uint8Array;

  constructor(type: number, bytes: Uint8Array) {
    this.type = type;
    this.bytes = bytes;
  }
}

/** The extension type of MessagePack's timestamps. */
export const TIMESTAMP = -1;
