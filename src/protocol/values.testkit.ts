import { encode } from "@msgpack/msgpack";
import fc from "fast-check";
import { ERROR_STATUS, type ErrorCode } from "./errors.js";
import type { ClientFrame, ControlFrame } from "./frames.js";
import type { MessageFields } from "./message.js";
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

// Heads of every kind, with the small counts and lengths that make whole values likely.
const head = fc.oneof(
  fc.integer({ min: 0x80, max: 0x83 }),
  fc.integer({ min: 0x90, max: 0x93 }),
  fc.integer({ min: 0xa0, max: 0xa4 }),
  fc.integer({ min: 0xc0, max: 0xdf }),
  fc.constantFrom(0, 1, 2, 0x7f, 0xe0, 0xff),
);

/** One value of each kind as bytes, some of them unfit: what a hostile encoder might put together. */
const piece: fc.Arbitrary<readonly number[]> = fc.oneof(
  head.map((byte) => [byte]),
  fc.constantFrom(
    [0xc4, 1, 7],
    [0xc5, 0, 1, 7],
    [0xc7, 4, 0xff, 1, 2, 3, 4],
    [0xd6, 0xff, 1, 2, 3, 4],
    [0xd7, 0xff, 255, 255, 255, 255, 255, 255, 255, 255],
    [0xc7, 12, 0xff, 255, 255, 255, 255, 127, 255, 255, 255, 255, 255, 255, 255],
    [0xd4, 0xff, 1],
    [0xd4, 5, 1],
    [0xd9, 1, 0x61],
    [0xda, 0, 1, 0x61],
    [0xdb, 0, 0, 0, 1, 0x61],
    [0xa2, 0xc3, 0xbc],
    [0xa3, 0xed, 0xa0, 0x80],
    [0xa9, ...Buffer.from("__proto__")],
    [0xd9, 9, ...Buffer.from("__proto__")],
    [0xdc, 0, 1],
    [0xdd, 0, 0, 0, 1],
    [0xde, 0, 1],
    [0xdf, 0, 0, 0, 1],
    [0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0],
    [0xcf, 255, 255, 255, 255, 255, 255, 255, 255],
    [0xd3, 128, 0, 0, 0, 0, 0, 0, 0],
  ),
);

/** Bytes that are MessagePack now and then: pieces of it strung together, closed by enough small values, or noise. */
export const msgpackBytes: fc.Arbitrary<Uint8Array> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .array(piece, { maxLength: 24 })
      .map((pieces) => Uint8Array.from([...pieces.flat(), 1, 1, 1, 1])),
  },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 64 }) },
);

/** Data that both sub-protocols carry unchanged. */
const value = fc
  .jsonValue({ maxDepth: 3, stringUnit: "grapheme-composite" })
  .map((json) => JSON.parse(JSON.stringify(json).replaceAll("__proto__", "proto")) as unknown);

const key = fc.option(wellFormedText(1, 128), { nil: undefined });
const ERROR_CODES = Object.keys(ERROR_STATUS) as ErrorCode[];
const ref = fc.oneof(fc.nat(300), fc.constant(2 ** 32 - 1));
const position = fc.record({ epoch: wellFormedText(0, 64), offset: uint53 });

const begin = fc.oneof(
  fc.constant({}),
  position.map((after) => ({ after })),
  fc.nat(2 ** 32 - 1).map((last) => ({ last })),
  fc.boolean().map((state) => ({ state })),
);

const rate = fc.oneof(fc.double({ min: 0.01, max: 1e6, noNaN: true }), fc.constant("all" as const));
const askedRate = fc.oneof(rate, fc.constant("slowest" as const));

const options = fc
  .tuple(
    begin,
    fc.record({ rate: askedRate, echo: fc.boolean(), members: fc.boolean() }, { requiredKeys: [] }),
  )
  .map(([from, rest]) => ({ ...from, ...rest }));

const optionsOfMany = options.map((given) => ("after" in given ? {} : given));
const item = fc.record({ room, after: fc.option(position, { nil: undefined }) });

/** Requests of every kind. */
export const clientFrame: fc.Arbitrary<ClientFrame> = fc.oneof(
  fc.record({ type: fc.constant("subscribe" as const), ref, room, options }),
  fc.record({ type: fc.constantFrom("unsubscribe" as const, "presence" as const), ref, room }),
  fc.record({ type: fc.constant("publish" as const), ref, room, data: value, key }),
  fc.record({ type: fc.constant("authenticate" as const), ref, token: wellFormedText(0, 100) }),
  fc.record({
    type: fc.constant("history" as const),
    ref,
    room,
    options: fc.record(
      { after: position, limit: fc.integer({ min: 1, max: 2 ** 32 - 1 }) },
      { requiredKeys: [] },
    ),
  }),
  fc.record({
    type: fc.constant("subscribeMany" as const),
    ref,
    rooms: fc.array(item, { maxLength: 5 }),
    options: optionsOfMany,
  }),
  fc.record({ type: fc.constant("ping" as const), ref }),
);

/** Replies of every kind but messages and history pages. */
export const controlFrame: fc.Arbitrary<ControlFrame> = fc.oneof(
  fc.record({
    type: fc.constant("welcome" as const),
    session: wellFormedText(1, 30),
    node: wellFormedText(1, 30),
    pingMs: uint53,
    maxBytes: uint53,
  }),
  fc.record({ type: fc.constant("ok" as const), ref, result: fc.option(value, { nil: undefined }) }),
  fc.record(
    {
      type: fc.constant("error" as const),
      ref,
      code: fc.constantFrom(...ERROR_CODES),
      text: wellFormedText(0, 50),
      retryMs: fc.option(uint53, { nil: undefined }),
      room,
    },
    { requiredKeys: ["type", "ref", "code", "text", "retryMs"] },
  ),
  fc.record({ type: fc.constant("live" as const), room, offset: uint53 }),
  fc.record({ type: fc.constant("lagged" as const) }),
  fc.record({
    type: fc.constant("reset" as const),
    room,
    epoch: wellFormedText(0, 64),
    offset: uint53,
    reason: fc.constantFrom("expired" as const, "epoch" as const, "purged" as const),
  }),
  fc.record(
    {
      type: fc.constant("members" as const),
      room,
      count: uint53,
      joined: fc.array(value, { maxLength: 3 }),
      left: fc.array(value, { maxLength: 3 }),
      list: fc.boolean(),
    },
    { requiredKeys: ["type", "room", "count", "joined", "left"] },
  ),
  fc.record({ type: fc.constant("rate" as const), room, rate }),
  fc.record({ type: fc.constant("goaway" as const), reason: wellFormedText(0, 30), delayMs: uint53 }),
);

/** Messages that both sub-protocols carry unchanged. */
export const messageFields: fc.Arbitrary<MessageFields> = fc.record({
  room,
  offset: uint53,
  prev: uint53,
  time: uint53,
  data: value.map((json) => encode(json).slice()),
  key,
});
