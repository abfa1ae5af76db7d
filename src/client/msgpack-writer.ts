import { Extension, TIMESTAMP } from "./extension.js";

/** Deeper than any server takes, and where a circle is given up. */
const DEPTH_MAX = 100;

const utf8 = /* @__PURE__ */ new TextEncoder();

/**
 * Encodes null and undefined (as nil), booleans, numbers, strings, bytes (an ArrayBuffer or a view
 * of one), dates, {@link Extension}s, arrays, and any other object by its own enumerable fields, without those undefined.
 * Why not @msgpack/msgpack, as servers have: two thirds of a page's download would be the codec.
 * @throws TypeError on anything else, on a circle, on a date that is none.
 * @see https://github.com/msgpack/msgpack/blob/master/spec.md
 */
export function encode(value: unknown): Uint8Array {
  const writer = new Writer();
  writer.value(value, 0);
  return writer.bytes();
}

class Writer {
  #out = new Uint8Array(128);
  #end = 0;

  bytes(): Uint8Array {
    return this.#out.subarray(0, this.#end);
  }

  value(value: unknown, depth: number): void {
    if (depth > DEPTH_MAX) throw new TypeError(`data is nested deeper than ${DEPTH_MAX}, or a circle`);
    if (value === undefined || value === null) this.#uint(0xc0, 0, 0);
    else if (typeof value === "boolean") this.#uint(value ? 0xc3 : 0xc2, 0, 0);
    else if (typeof value === "number") this.#number(value);
    else if (typeof value === "string") this.#string(value);
    else if (typeof value === "object") this.#object(value, depth + 1);
    else throw new TypeError(`a ${typeof value} cannot be sent`);
  }

  #number(value: number): void {
    if (!Number.isSafeInteger(value)) {
      this.#uint(0xcb, 0, 0);
      this.#copy(new Uint8Array(new Float64Array([value]).buffer).reverse());
    } else if (value >= 0x100000000) this.#uint(0xcf, value, 8);
    else if (value >= 0x10000) this.#uint(0xce, value, 4);
    else if (value >= 0x100) this.#uint(0xcd, value, 2);
    else if (value >= 0x80) this.#uint(0xcc, value, 1);
    else if (value >= -0x20) this.#uint(value, 0, 0);
    else if (value >= -0x80) this.#uint(0xd0, value, 1);
    else if (value >= -0x8000) this.#uint(0xd1, value, 2);
    else if (value >= -0x80000000) this.#uint(0xd2, value, 4);
    else this.#uint(0xd3, value, 8);
  }

  #string(value: string): void {
    const text = utf8.encode(value);
    if (text.length < 0x20) this.#uint(0xa0 + text.length, 0, 0);
    else this.#length(text.length, 0xd9, 0xda);
    this.#copy(text);
  }

  #object(value: object, depth: number): void {
    if (Array.isArray(value)) {
      if (value.length < 0x10) this.#uint(0x90 + value.length, 0, 0);
      else this.#length(value.length, undefined, 0xdc);
      for (const item of value) this.value(item, depth);
    } else if (value instanceof ArrayBuffer) {
      this.#object(new Uint8Array(value), depth);
    } else if (ArrayBuffer.isView(value)) {
      this.#length(value.byteLength, 0xc4, 0xc5);
      this.#copy(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
    } else if (value instanceof Date) {
      this.#date(value.getTime());
    } else if (value instanceof Extension) {
      this.#length(value.data.length, 0xc7, 0xc8);
      this.#raw(value.type, 1);
      this.#copy(value.data);
    } else {
      const fields = Object.entries(value).filter(([, field]) => field !== undefined);
      if (fields.length < 0x10) this.#uint(0x80 + fields.length, 0, 0);
      else this.#length(fields.length, undefined, 0xde);
      for (const [name, field] of fields) {
        this.#string(name);
        this.value(field, depth);
      }
    }
  }

  // The longest of a timestamp's three forms, since it holds every date.
  #date(ms: number): void {
    if (Number.isNaN(ms)) throw new TypeError("an invalid date cannot be sent");
    const seconds = Math.floor(ms / 1_000);
    this.#length(12, 0xc7, 0xc8);
    this.#raw(TIMESTAMP, 1);
    this.#raw((ms - seconds * 1_000) * 1_000_000, 4);
    this.#raw(seconds, 8);
  }

  #length(length: number, head8: number | undefined, head16: number): void {
    if (head8 !== undefined && length < 0x100) this.#uint(head8, length, 1);
    else if (length < 0x10000) this.#uint(head16, length, 2);
    else this.#uint(head16 + 1, length, 4);
  }

  #uint(head: number, value: number, width: number): void {
    this.#raw(head, 1);
    this.#raw(value, width);
  }

  /** Big-endian; a negative value as its two's complement, since a byte array takes numbers modulo 256. */
  #raw(value: number, width: number): void {
    const start = this.#reserve(width);
    let rest = value;
    for (let at = start + width - 1; at >= start; at--) {
      this.#out[at] = rest;
      rest = Math.floor(rest / 256);
    }
  }

  #copy(bytes: Uint8Array): void {
    // Reserving may replace what is written to.
    const start = this.#reserve(bytes.length);
    this.#out.set(bytes, start);
  }

  #reserve(length: number): number {
    const start = this.#end;
    this.#end += length;
    if (this.#end > this.#out.length) {
      const out = new Uint8Array(2 * this.#end);
      out.set(this.#out);
      this.#out = out;
    }
    return start;
  }
}
