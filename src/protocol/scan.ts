import { CodedError } from "./errors.js";

/** How many element starts {@link Scanner.array} keeps; no frame has more elements that mean something. */
const STARTS_MAX = 8;

/** Timestamp extension: the only one that decoders interpret, and so refuse at other lengths. */
const TIMESTAMP_TYPE = 0xff;

/**
 * Walks MessagePack values without decoding them: finds where they end and whether every decoder will take them.
 * One instance serves one thread; it keeps nothing but its scratch space between values. Iterative, so that no
 * nesting overflows the stack.
 *
 * Two kinds of bad bytes: where the end cannot be known (truncated, reserved byte, over a limit) it throws; where
 * it can (invalid UTF-8, a map key that is no string or integer or is `__proto__`, a timestamp of a wrong length)
 * it goes on and leaves the first such in `problem`.
 */
export class Scanner {
  /** What makes the values since `begin` unfit although their ends are known; undefined where nothing does. */
  problem: string | undefined = undefined;
  private bytes: Uint8Array = new Uint8Array(0);
  private at = 0;
  private elements = 0;
  private elementsLeft = 0;
  /** Values still to come at each open level; in a map keys and values count one each. */
  private readonly lefts: number[] = [];
  private readonly maps: boolean[] = [];

  /** Starts on new bytes; `elements` (array elements and map entries) is what all values from here on share. */
  begin(bytes: Uint8Array, elements: number): void {
    this.bytes = bytes;
    this.elements = elements;
    this.elementsLeft = elements;
    this.problem = undefined;
  }

  /**
   * Walks the value at `start`, with arrays and maps nested at most `depth` deep; returns where it ends.
   * @throws CodedError `bad_request` where the bytes are broken or truncated, `too_large` where a limit is passed.
   */
  value(start: number, depth: number): number {
    const { bytes, lefts, maps } = this;
    this.at = start;
    let level = 0;
    let left = 1;
    let inMap = false;
    for (;;) {
      while (left === 0) {
        if (level === 0) return this.at;
        level--;
        left = lefts[level] ?? 0;
        inMap = maps[level] ?? false;
      }
      if (this.at >= bytes.length) throw truncated();
      const head = bytes[this.at++] ?? 0;
      const isKey = inMap && left % 2 === 0;
      left--;
      if (head < 0x80 || head >= 0xe0) continue;
      if (!isContainer(head)) {
        this.leaf(head, isKey);
        continue;
      }
      if (level >= depth)
        throw new CodedError("too_large", `arrays and maps nested deeper than ${depth} levels`);
      lefts[level] = left;
      maps[level] = inMap;
      level++;
      inMap = isMap(head);
      left = this.open(head, isKey) * (inMap ? 2 : 1);
    }
  }

  /**
   * Walks an array's elements. `starts` is filled with where its elements start (the first eight at the most) and, last,
   * where the value or the last of these ends. Returns the array's end, or -1 where the value is no array; then
   * nothing was walked.
   * @throws CodedError as {@link Scanner.value}; `depth` counts the array itself.
   */
  array(start: number, depth: number, starts: number[]): number {
    const head = this.bytes[start] ?? 0xc1;
    starts.length = 0;
    if (isMap(head) || !isContainer(head)) return -1;
    this.at = start + 1;
    const count = this.open(head, false);
    let at = this.at;
    for (let i = 0; i < count; i++) {
      if (i <= STARTS_MAX) starts.push(at);
      at = this.value(at, depth - 1);
    }
    if (count <= STARTS_MAX) starts.push(at);
    return at;
  }

  /** Reads the count of an array or map. */
  private open(head: number, isKey: boolean): number {
    if (isKey) this.refuseKey("an array or a map");
    const count = head < 0xa0 ? head & 0x0f : this.length(head & 1 ? 4 : 2);
    this.elementsLeft -= count;
    if (this.elementsLeft < 0)
      throw new CodedError("too_large", `more than ${this.elements} array elements and map entries`);
    return count;
  }

  /** Walks what is neither array, map nor small integer. */
  private leaf(head: number, isKey: boolean): void {
    if (head < 0xc0) this.text(head & 0x1f, isKey);
    else if (head >= 0xd9) this.text(this.length(1 << (head - 0xd9)), isKey);
    else if (head >= 0xd4) this.extension(1 << (head - 0xd4), isKey);
    else if (head >= 0xcc) this.skip(1 << (head & 3));
    else if (head >= 0xca) {
      if (isKey) this.refuseKey("a float");
      this.skip(head === 0xca ? 4 : 8);
    } else if (head >= 0xc7) this.extension(this.length(1 << (head - 0xc7)), isKey);
    else if (head >= 0xc4) {
      if (isKey) this.refuseKey("bytes");
      this.skip(this.length(1 << (head - 0xc4)));
    } else if (head === 0xc1) throw new CodedError("bad_request", "byte 0xc1 is not MessagePack");
    else if (isKey) this.refuseKey("nil or a boolean");
  }

  private text(length: number, isKey: boolean): void {
    const start = this.at;
    this.skip(length);
    if (!isUtf8(this.bytes, start, this.at)) this.problem ??= "a string is not valid UTF-8";
    if (isKey && length === 9 && isProto(this.bytes, start))
      this.problem ??= 'the map key "__proto__" is not allowed';
  }

  private extension(length: number, isKey: boolean): void {
    if (isKey) this.refuseKey("an extension value");
    const type = this.bytes[this.at];
    this.skip(length + 1);
    if (type === TIMESTAMP_TYPE && length !== 4 && length !== 8 && length !== 12)
      this.problem ??= `a timestamp has 4, 8 or 12 bytes, not ${length}`;
  }

  private length(width: number): number {
    const start = this.at;
    this.skip(width);
    let length = 0;
    for (let i = start; i < this.at; i++) length = length * 256 + (this.bytes[i] ?? 0);
    return length;
  }

  private skip(count: number): void {
    this.at += count;
    if (this.at > this.bytes.length) throw truncated();
  }

  private refuseKey(what: string): void {
    this.problem ??= `a map key is ${what}: keys are strings or integers`;
  }
}

function isMap(head: number): boolean {
  return head < 0x90 || head >= 0xde;
}

function isContainer(head: number): boolean {
  return head < 0xa0 || head >= 0xdc;
}

function truncated(): CodedError {
  return new CodedError("bad_request", "the bytes end within a MessagePack value");
}

function isProto(bytes: Uint8Array, start: number): boolean {
  for (let i = 0; i < 9; i++) if (bytes[start + i] !== "__proto__".charCodeAt(i)) return false;
  return true;
}

function isUtf8(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start;
  while (at < end) {
    const lead = bytes[at++] ?? 0;
    if (lead < 0x80) continue;
    // Bounds of the second byte keep out overlong forms, surrogates and what is above U+10FFFF.
    let low = 0x80;
    let high = 0xbf;
    let more = 1;
    if (lead >= 0xc2 && lead <= 0xdf) more = 1;
    else if (lead >= 0xe0 && lead <= 0xef) {
      more = 2;
      if (lead === 0xe0) low = 0xa0;
      if (lead === 0xed) high = 0x9f;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
      more = 3;
      if (lead === 0xf0) low = 0x90;
      if (lead === 0xf4) high = 0x8f;
    } else return false;
    if (at + more > end) return false;
    for (; more > 0; more--) {
      const byte = bytes[at++] ?? 0;
      if (byte < low || byte > high) return false;
      low = 0x80;
      high = 0xbf;
    }
  }
  return true;
}
