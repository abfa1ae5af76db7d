import { encode } from "@msgpack/msgpack";
import fc from "fast-check";
import { clientFrame, handshake, OPCODE } from "../server/raw-socket.testkit.js";

/** What one connection sends, in which pieces, and how it ends. */
export interface Script {
  readonly pieces: readonly Uint8Array[];
  readonly end: "fin" | "reset" | "wait";
}

const rooms = fc.constantFrom(
  "cursors.f",
  "fuzz.a",
  "fuzz.b",
  "",
  "a..b",
  "fuzz.*",
  "x".repeat(200),
  "__proto__",
  "ü",
);
const numbers = fc.oneof(
  fc.nat(20),
  fc.constantFrom(-1, 1.5, 2 ** 32, 2 ** 53, Number.MAX_SAFE_INTEGER, 0),
  fc.integer(),
);
const options = fc.oneof(
  fc.record(
    {
      after: fc.oneof(fc.tuple(fc.string({ maxLength: 8 }), numbers), fc.anything({ maxDepth: 1 })),
      last: numbers,
      state: fc.boolean(),
      rate: numbers,
      echo: fc.boolean(),
      members: fc.boolean(),
      limit: numbers,
    },
    { requiredKeys: [] },
  ),
  plain(2),
);
/** A request as the protocol has it, or nearly. */
const requests = fc.oneof(
  fc.tuple(fc.constantFrom(1, 2, 3, 5, 6), numbers, rooms, options),
  fc.tuple(fc.constant(8), numbers, fc.array(fc.tuple(rooms), { maxLength: 20 }), options),
  fc.tuple(fc.constant(3), numbers, rooms, plain(3), fc.oneof(fc.string({ maxLength: 200 }), numbers)),
  fc.tuple(fc.constantFrom(4, 7, 0, 9, 16, 255), numbers, plain(1)),
  plain(3),
);

/** A plain value, which both formats can carry. */
function plain(maxDepth: number): fc.Arbitrary<unknown> {
  return fc.jsonValue({ maxDepth });
}

const packed = fc
  .array(requests, { maxLength: 5 })
  .map((all) => Buffer.concat(all.map((value) => encode(value))));
const lines = fc
  .array(requests, { maxLength: 5 })
  .map((all) => Buffer.from(all.map((value) => JSON.stringify(value)).join("\n")));
const noise = fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes));

/** Some bytes changed, cut out or put in. */
function mutated(bytes: fc.Arbitrary<Buffer>): fc.Arbitrary<Buffer> {
  const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255), fc.constantFrom("set", "cut", "add")), {
    maxLength: 3,
  });
  return fc.tuple(bytes, changes).map(([source, list]) => {
    let out: Buffer = Buffer.from(source);
    for (const [where, value, how] of list) {
      const at = where % (out.length + 1);
      if (how === "set" && at < out.length) out[at] = value;
      else if (how === "cut") out = Buffer.concat([out.subarray(0, at), out.subarray(at + (value % 8))]);
      else out = Buffer.concat([out.subarray(0, at), Buffer.of(value), out.subarray(at)]);
    }
    return out;
  });
}

const opcodes = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(OPCODE.binary, OPCODE.text) },
  { weight: 3, arbitrary: fc.constantFrom(OPCODE.continuation, OPCODE.close, OPCODE.ping, OPCODE.pong) },
  { weight: 1, arbitrary: fc.nat(15) },
);
const frames = fc
  .record({
    opcode: opcodes,
    payload: fc.oneof(packed, lines, mutated(packed), mutated(lines), noise),
    fin: fc.oneof({ weight: 4, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
    mask: fc.oneof({ weight: 9, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
    reserved: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(7) }),
    claim: fc.option(fc.constantFrom(0, 1, 125, 126, 127, 65_535, 65_536, 2 ** 31, 2 ** 53), {
      freq: 20,
      nil: undefined,
    }),
  })
  .map(({ opcode, payload, claim, ...rest }) =>
    clientFrame(opcode, payload, claim === undefined ? rest : { ...rest, claim }),
  );

const headerText = fc.oneof(
  fc.constantFrom(
    "websocket",
    "Upgrade",
    "13",
    "8",
    "",
    "fanwire.v1",
    "fanwire.v1.json",
    "token.a.b.c",
    "*",
    "null",
    "chunked",
    "0",
    "100",
    "-1",
    "1, 2",
  ),
  fc.string({ maxLength: 60 }),
);
const headers = fc.array(
  fc.tuple(
    fc.oneof(
      fc.constantFrom(
        "Upgrade",
        "Connection",
        "Origin",
        "Host",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Protocol",
        "Authorization",
        "Accept",
        "Content-Type",
        "Content-Length",
        "Transfer-Encoding",
        "Fanwire-Key",
        "Idempotency-Key",
        "If-None-Match",
        "Last-Event-ID",
        "X-Forwarded-For",
        "Expect",
      ),
      fc.string({ maxLength: 20 }),
    ),
    headerText,
  ),
  { maxLength: 6 },
);

const handshakes = fc
  .record({
    path: fc.constantFrom("/ws", "/ws?", "/ws?token=a.b.c", "/ws/", "/WS"),
    protocol: fc.constantFrom(undefined, "fanwire.v1", "fanwire.v1.json", "nonsense"),
    headers: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: headers }),
  })
  .map(({ path, protocol, headers: extra }) =>
    Buffer.from(
      handshake({
        path,
        ...(protocol === undefined ? {} : { protocol }),
        headers: Object.fromEntries(extra),
      }),
    ),
  );

const targets = fc.oneof(
  fc.constantFrom(
    "/",
    "/healthz",
    "/v1/messages",
    "/v1/rooms/fuzz.a/messages",
    "/v1/rooms/fuzz.a/messages?limit=5&after=x:1",
    "/v1/rooms/fuzz.a/state",
    "/v1/rooms/fuzz.a/presence",
    "/v1/rooms?prefix=f",
    "/v1/events?room=fuzz.a",
    "/v1/revocations",
    "/v1/rooms/%00/messages",
    "/../etc/passwd",
    "*",
  ),
  fc.string({ maxLength: 60 }).map((text) => `/${text}`),
  fc.webQueryParameters().map((query) => `/v1/rooms/fuzz.a/messages?${query}`),
);
const methods = fc.oneof(
  fc.constantFrom("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "get", "CONNECT"),
  fc.string({ maxLength: 8 }),
);
const bodies = fc.oneof(
  packed,
  lines,
  mutated(packed),
  noise,
  plain(3).map((value) => Buffer.from(JSON.stringify(value))),
);

const httpRequests = fc
  .record({
    method: methods,
    target: targets,
    version: fc.constantFrom("HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTP/1.1", ""),
    type: fc.constantFrom("application/json", "application/msgpack", "text/plain", undefined),
    headers,
    body: bodies,
    length: fc.constantFrom("right", "right", "right", "none", "more", "chunked"),
  })
  .map(({ method, target, version, type, headers: extra, body, length }) => {
    const all = [["Host", "127.0.0.1"], ...(type === undefined ? [] : [["Content-Type", type]]), ...extra];
    if (length === "chunked") all.push(["Transfer-Encoding", "chunked"]);
    else if (length !== "none")
      all.push(["Content-Length", String(body.length + (length === "more" ? 10 : 0))]);
    const head = [
      `${method} ${target} ${version}`,
      ...all.map(([name, value]) => `${name}: ${value}`),
      "",
      "",
    ].join("\r\n");
    const sent =
      length === "chunked"
        ? Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from("\r\n0\r\n\r\n")])
        : body;
    return Buffer.concat([Buffer.from(head, "latin1"), sent]);
  });

/** A handshake and what follows it come apart: what a client sends before the answer is dropped by uWebSockets.js. */
const webSockets = fc
  .tuple(
    fc.oneof({ weight: 5, arbitrary: handshakes }, { weight: 1, arbitrary: mutated(handshakes) }),
    fc.array(frames, { maxLength: 8 }),
  )
  .map(([head, list]) => [head, ...list]);
const http = fc.oneof(
  fc.array(httpRequests, { minLength: 1, maxLength: 3 }),
  mutated(httpRequests).map((request) => [request]),
);

/** Anything that a client might send, most of it nearly right: what is wrong from the first byte tests little. */
export const scripts: fc.Arbitrary<Script> = fc.record({
  pieces: fc
    .tuple(
      fc.oneof({ weight: 3, arbitrary: webSockets }, { weight: 2, arbitrary: http }),
      fc.option(fc.nat(300), { freq: 3, nil: undefined }),
    )
    .map(([pieces, cut]) =>
      cut === undefined ? pieces : pieces.flatMap((piece) => [piece.subarray(0, cut), piece.subarray(cut)]),
    ),
  end: fc.constantFrom("fin", "reset", "wait"),
});
