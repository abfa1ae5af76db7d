import fc from "fast-check";
import { parseRoom } from "./room-name.js";
import type { DecodeLimits } from "./wire.js";

const token = fc.string({ unit: fc.constantFrom(..."abcXYZ019_-:"), minLength: 1, maxLength: 20 });

/** Room names of all lengths. */
export const room = fc
  .array(token, { minLength: 1, maxLength: 9 })
  .map((tokens) => parseRoom(tokens.join(".").slice(0, 128).replace(/\.$/, "")));

/** Integers of 0 to 2^53 - 1, near the borders of MessagePack's forms as often as not. */
export const uint53 = fc.oneof(
  fc.nat(300),
  fc.nat(70_000),
  fc.constantFrom(0, 127, 128, 255, 256, 65_535, 65_536, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1),
  fc.maxSafeNat(),
);

/** Text without lone surrogates, within so many UTF-8 bytes. */
export function wellFormedText(bytesMin: number, bytesMax: number): fc.Arbitrary<string> {
  return fc
    .string({ unit: "grapheme-composite", minLength: bytesMin, maxLength: bytesMax })
    .filter((text) => Buffer.byteLength(text) <= bytesMax);
}

/** The limits that servers have by default. */
export const limits: DecodeLimits = {
  values: 1_000,
  depth: 32,
  elements: 20_000,
  dataBytes: 15_360,
  keyBytes: 128,
};

/** UTF-8 bytes of text. */
export function textBytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
