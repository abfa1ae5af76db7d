/** A MessagePack extension value other than a timestamp, which is a Date. */
export class Extension {
  /** -128 to 127; the negative ones are MessagePack's own. */
  readonly type: number;
  readonly data: Uint8Array;

  constructor(type: number, data: Uint8Array) {
    this.type = type;
    this.data = data;
  }
}

/** The extension type of MessagePack's timestamps. */
export const TIMESTAMP = -1;
