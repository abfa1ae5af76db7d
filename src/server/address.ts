import { isIPv4, isIPv6 } from "node:net";

/** An IP address as its 16 bytes; IPv4 as `::ffff:a.b.c.d`, so that one form compares with the other. */
export type Address = Uint8Array;

/**
 * What clients of one place share: an IPv4 address as a 32-bit integer, or the first 64 bits of an IPv6 address, all of
 * which one household has, as four UTF-16 units. Small, since there may be one a connection.
 */
export type AddressKey = number | string;

/** A block of addresses, such as `10.0.0.0/8`. */
export interface AddressBlock {
  readonly address: Address;
  /** Of 128. */
  readonly bits: number;
}

const BYTES = 16;
const MAPPED = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff);
const MAPPED_BITS = MAPPED.length * 8;
const LOOPBACK_V4: AddressBlock = { address: ofFour([127, 0, 0, 0]), bits: MAPPED_BITS + 8 };
const LOOPBACK_V6: AddressBlock = { address: Uint8Array.of(...new Array<number>(15).fill(0), 1), bits: 128 };

/** From 4 or 16 bytes, as sockets have it; undefined for anything else, which is what uWebSockets.js gives of none. */
export function addressOfBytes(bytes: Uint8Array): Address | undefined {
  if (bytes.length === 4) return ofFour(bytes);
  return bytes.length === BYTES ? bytes.slice() : undefined;
}

/** From text such as `192.0.2.1` or `2001:db8::1`; no brackets, port or zone. */
export function parseAddress(text: string): Address | undefined {
  if (isIPv4(text)) return ofFour(text.split(".").map(Number));
  if (!isIPv6(text) || text.includes("%")) return undefined;
  const tail = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  const [a = 0, b = 0, c = 0, d = 0] = (tail?.[2] ?? "").split(".").map(Number);
  const plain =
    tail === null ? text : `${tail[1]}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  const [left = "", right] = plain.split("::");
  const head = groupsOf(left);
  const rest = groupsOf(right ?? "");
  const groups = [...head, ...new Array<number>(8 - head.length - rest.length).fill(0), ...rest];
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
}

/** From `192.0.2.0/24`, `2001:db8::/32`, or an address alone. */
export function parseBlock(text: string): AddressBlock | undefined {
  const [, base = "", length] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const address = parseAddress(base);
  if (address === undefined) return undefined;
  const offset = isIPv4(base) ? MAPPED_BITS : 0;
  const bits = length === undefined ? 128 : offset + Number(length);
  return bits <= 128 ? { address, bits } : undefined;
}

export function isWithin(address: Address, block: AddressBlock): boolean {
  const whole = block.bits >> 3;
  for (let at = 0; at < whole; at += 1) if (address[at] !== block.address[at]) return false;
  const left = block.bits & 7;
  if (left === 0) return true;
  const mask = 0xff & (0xff << (8 - left));
  return ((address[whole] ?? 0) & mask) === ((block.address[whole] ?? 0) & mask);
}

export function isLoopbackAddress(address: Address): boolean {
  return isWithin(address, LOOPBACK_V4) || isWithin(address, LOOPBACK_V6);
}

export function keyOfAddress(address: Address): AddressKey {
  const view = new DataView(address.buffer, address.byteOffset, BYTES);
  if (isMapped(address)) return view.getInt32(12);
  return String.fromCharCode(view.getUint16(0), view.getUint16(2), view.getUint16(4), view.getUint16(6));
}

/** As people write it: `192.0.2.1`, `2001:db8::1`. */
export function textOfAddress(address: Address): string {
  if (isMapped(address)) return address.subarray(MAPPED.length).join(".");
  const view = new DataView(address.buffer, address.byteOffset, BYTES);
  const groups = Array.from({ length: 8 }, (_, at) => view.getUint16(at * 2).toString(16));
  return new URL(`http://[${groups.join(":")}]/`).hostname.slice(1, -1);
}

function isMapped(address: Address): boolean {
  return MAPPED.every((byte, at) => address[at] === byte);
}

function ofFour(four: ArrayLike<number>): Address {
  const address = new Uint8Array(BYTES);
  address.set(MAPPED);
  address.set(four, MAPPED.length);
  return address;
}

function groupsOf(text: string): number[] {
  return text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
}
