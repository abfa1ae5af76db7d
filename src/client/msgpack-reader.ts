import { Extension, TIMESTAMP } from "./extension.js";

/** Up to this length it is faster to read text here than to ask the platform. */
const SHORT_TEXT = 24;

const utf8 = /* @__PURE__ */ new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * Decodes MessagePack values that stand back to back. Integers beyond 2^53 become the nearest number, timestamps Dates,
 * other extensions an {@link Extension}, keys of maps strings; bytes are views into the input.
 * Every method throws RangeError where the input ends too soon, TypeError where it is no MessagePack.
 */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  value(): unknown {
    const head = this.#bytes[this.#take(1)] ?? 0;
    if (head < 0x80) return head;
    if (head < 0x90) return this.#map(head & 0x0f);
    if (head < 0xa0) return this.#array(head & 0x0f);
    if (head < 0xc0) return this.#text(head & 0x1f);
    if (head >= 0xe0) return head - 0x100;
    if (head >= 0xde) return this.#map(this.#uint(2 << (head - 0xde)));
    if (head >= 0xdc) return this.#array(this.#uint(2 << (head - 0xdc)));
    if (head >= 0xd9) return this.#text(this.#uint(1 << (head - 0xd9)));
    if (head >= 0xd4) return this.#extension(1 << (head - 0xd4));
    return this.#scalar(head);
  }

  #scalar(head: number): unknown {
    switch (head) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.#slice(this.#uint(1 << (head - 0xc4)));
      case 0xc7:
      case 0xc8:
      case 0xc9:
        return this.#extension(this.#uint(1 << (head - 0xc7)));
      case 0xca:
        return this.#view.getFloat32(this.#take(4));
      case 0xcb:
        return this.#view.getFloat64(this.#take(8));
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#uint(1 << (head - 0xcc));
      case 0xcf:
        return Number(this.#view.getBigUint64(this.#take(8)));
      case 0xd0:
        return this.#view.getInt8(this.#take(1));
      case 0xd1:
        return this.#view.getInt16(this.#take(2));
      case 0xd2:
        return this.#view.getInt32(this.#take(4));
      case 0xd3:
        return Number(this.#view.getBigInt64(this.#take(8)));
      default:
        throw new TypeError(`${head} begins no MessagePack value`);
    }
  }

  #array(length: number): unknown[] {
    // Not made at its length: what is claimed need not be there.
    const items: unknown[] = [];
    for (let i = 0; i < length; i++) items.push(this.value());
    return items;
  }

  #map(length: number): object {
    const map: { [name: string]: unknown } = {};
    for (let i = 0; i < length; i++) {
      const name = String(this.value());
      const value = this.value();
      // Assigned it would be the map's prototype.
      if (name === "__proto__") Object.defineProperty(map, name, { value, enumerable: true });
      else map[name] = value;
    }
    return map;
  }

  #text(length: number): string {
    const start = this.#take(length);
    const end = start + length;
    if (length > SHORT_TEXT) return utf8.decode(this.#bytes.subarray(start, end));
    let text = "";
    for (let at = start; at < end; at++) {
      const byte = this.#bytes[at] ?? 0;
      if (byte >= 0x80) return utf8.decode(this.#bytes.subarray(start, end));
      text += String.fromCharCode(byte);
    }
    return text;
  }

  #extension(length: number): Date | Extension {
    const type = this.#view.getInt8(this.#take(1));
    const start = this.#at;
    const bytes = this.#slice(length);
    if (type !== TIMESTAMP) return new Extension(type, bytes);
    if (length === 4) return new Date(this.#view.getUint32(start) * 1_000);
    if (length === 12) return dateOf(this.#view.getBigInt64(start + 4), this.#view.getUint32(start));
    if (length !== 8) return new Extension(type, bytes);
    const both = this.#view.getBigUint64(start);
    return dateOf(both & 0x3ffffffffn, Number(both >> 34n));
  }

  #uint(width: number): number {
    let at = this.#take(width);
    let value = 0;
    for (const end = at + width; at < end; at++) value = value * 256 + (this.#bytes[at] ?? 0);
    return value;
  }

  #slice(length: number): Uint8Array {
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  #take(length: number): number {
    const start = this.#at;
    this.#at += length;
    if (this.#at > this.#bytes.length) throw new RangeError("a MessagePack value ends too soon");
    return start;
  }
}

function dateOf(seconds: bigint, nanoseconds: number): Date {
  return new Date(Number(seconds) * 1_000 + nanoseconds / 1_000_000);
}
