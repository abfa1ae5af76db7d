import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { encode } from "@msgpack/msgpack";
import { type Ask, createRig, errorOf, JSON_TYPE, MSGPACK_TYPE } from "./http-api.testkit.js";

test("a body that is refused whole is a publish that was refused", async () => {
  const { ask, counters } = createRig();
  const post = (path: string, body: string) => ask({ method: "POST", path, body, headers: JSON_TYPE });
  const large = JSON.stringify("x".repeat(20_000));
  assert.equal((await post("/v1/rooms/a/messages", large)).status, 413);
  assert.equal((await post("/v1/messages", "{}")).status, 400);
  assert.equal(counters.publishErrors, 2);
});

test("what is at no path and what is not allowed there is answered as accept says", async () => {
  const { ask } = createRig();
  const headers = { accept: "application/msgpack" };
  for (const [status, wrong] of [
    [404, { path: "/v2" }],
    [405, { path: "/healthz", method: "POST" }],
  ] as const) {
    const reply = await ask({ ...wrong, headers });
    assert.deepEqual([reply.status, reply.headers["content-type"]], [status, "application/msgpack"]);
    assert.equal(errorOf(reply).code, "bad_request");
    const unliked = await ask({ ...wrong, headers: { accept: "text/html" } });
    assert.deepEqual([unliked.status, typeof unliked.body], [status, "string"]);
  }
});

describe("bad requests", () => {
  const room = "/v1/rooms/a/messages";
  const deep = (levels: number) => `${"[".repeat(levels)}${"]".repeat(levels)}`;
  const bytes = (...list: number[]) => new Uint8Array(list);
  type Case = [name: string, ask: Ask, status: number, code: string, message: RegExp];
  const post = (
    path: string,
    body: string | Uint8Array,
    headers: Record<string, string> = JSON_TYPE,
  ): Ask => ({
    method: "POST",
    path,
    body,
    headers,
  });
  const state = (query: string): Ask => ({ path: "/v1/rooms/state.a/state", query });
  const rooms = (query: string): Ask => ({ path: "/v1/rooms", query });
  const cases: Case[] = [
    ["unknown path", { path: "/v2" }, 404, "bad_request", /nothing is at "\/v2"/],
    ["no room", { path: "/v1/rooms/" }, 404, "bad_request", /nothing/],
    ["method of the rooms", { path: "/v1/rooms", method: "POST" }, 405, "bad_request", /GET, HEAD/],
    ["a prefix of no room", rooms("prefix=a..b"), 400, "bad_request", /prefix is "a\.\.b"/],
    ["a prefix that begins with a dot", rooms("prefix=.a"), 400, "bad_request", /prefix/],
    ["a prefix with a wildcard", rooms("prefix=a.*"), 400, "bad_request", /prefix/],
    ["a prefix of 129", rooms(`prefix=${"a".repeat(129)}`), 400, "bad_request", /prefix/],
    ["a prefix that leaves no room", rooms(`prefix=${"a".repeat(127)}.`), 400, "bad_request", /prefix/],
    ["a prefix given twice", rooms("prefix=a&prefix=b"), 400, "bad_request", /twice/],
    ["rooms after nothing", rooms("after="), 400, "bad_request", /after is ""/],
    ["rooms after no room", rooms("after=a b"), 400, "bad_request", /after is "a b"/],
    ["rooms after one elsewhere", rooms("prefix=b.&after=a.b"), 400, "bad_request", /with this prefix/],
    ["no rooms", rooms("limit=0"), 400, "bad_request", /limit is "0"/],
    ["less than no rooms", rooms("limit=-1"), 400, "bad_request", /limit/],
    ["rooms in hex", rooms("limit=0x10"), 400, "bad_request", /limit/],
    ["the last rooms", rooms("last=5"), 400, "bad_request", /allowed are prefix, after, limit/],
    ["slash at the end", { path: `${room}/` }, 404, "bad_request", /nothing/],
    ["method", { path: room, method: "DELETE" }, 405, "bad_request", /GET, HEAD, POST/],
    ["method of the batch", { path: "/v1/messages" }, 405, "bad_request", /POST/],
    ["room outside the grammar", { path: "/v1/rooms/a..b/messages" }, 400, "room_invalid", /"a\.\.b"/],
    ["empty room", post("/v1/rooms//messages", "1"), 400, "room_invalid", /1 to 128/],
    ["wildcard", post("/v1/rooms/a.%2A/messages", "1"), 400, "room_invalid", /\*/],
    ["broken percent-encoding", post("/v1/rooms/%ff/messages", "1"), 400, "room_invalid", /percent/],
    ["slash in a room", post("/v1/rooms/a%2Fb/messages", "1"), 400, "room_invalid", /a\/b/],
    ["long room", post(`/v1/rooms/${"a".repeat(129)}/messages`, "1"), 400, "room_invalid", /128/],
    ["no content type", post(room, "1", {}), 415, "bad_request", /missing; allowed are application\/json/],
    [
      "form",
      post(room, "a=1", { "content-type": "application/x-www-form-urlencoded" }),
      415,
      "bad_request",
      /form/,
    ],
    [
      "charset",
      post(room, "1", { "content-type": "application/json; charset=latin1" }),
      415,
      "bad_request",
      /utf-8/,
    ],
    ["compressed", post(room, "1", { ...JSON_TYPE, "content-encoding": "gzip" }), 415, "bad_request", /gzip/],
    ["accept", post(room, "1", { ...JSON_TYPE, accept: "text/html" }), 406, "bad_request", /text|json/],
    ["no body", post(room, ""), 400, "bad_request", /not JSON/],
    ["broken JSON", post(room, "{"), 400, "bad_request", /not JSON/],
    ["broken UTF-8", post(room, bytes(0x22, 0xff, 0x22)), 400, "bad_request", /not JSON/],
    ["__proto__", post(room, '{"__proto__":1}'), 400, "bad_request", /__proto__/],
    ["lone surrogate", post(room, '"\\ud800"'), 400, "bad_request", /UTF-8/],
    ["deep JSON", post(room, deep(33)), 413, "too_large", /nested/],
    ["very deep JSON", post(room, deep(100_000)), 413, "too_large", /nested/],
    [
      "much data",
      post(room, JSON.stringify("x".repeat(15_360))),
      413,
      "too_large",
      /15363 bytes, at most 15360/,
    ],
    ["no MessagePack", post(room, "", MSGPACK_TYPE), 400, "bad_request", /end within/],
    ["truncated MessagePack", post(room, bytes(0x92, 1), MSGPACK_TYPE), 400, "bad_request", /end within/],
    ["two values", post(room, bytes(1, 2), MSGPACK_TYPE), 400, "bad_request", /follow/],
    ["reserved byte", post(room, bytes(0xc1), MSGPACK_TYPE), 400, "bad_request", /0xc1/],
    [
      "many elements",
      post(room, bytes(0xdd, 255, 255, 255, 255), MSGPACK_TYPE),
      413,
      "too_large",
      /elements/,
    ],
    [
      "empty key",
      post(room, "1", { ...JSON_TYPE, "fanwire-key": "" }),
      400,
      "bad_request",
      /key has 0 bytes/,
    ],
    [
      "long key",
      post(room, "1", { ...JSON_TYPE, "fanwire-key": "%C3%A9".repeat(65) }),
      400,
      "bad_request",
      /130 bytes/,
    ],
    ["broken key", post(room, "1", { ...JSON_TYPE, "fanwire-key": "100%" }), 400, "bad_request", /%25/],
    [
      "key of another charset",
      post(room, "1", { ...JSON_TYPE, "fanwire-key": "aéb" }),
      400,
      "bad_request",
      /UTF-8/,
    ],
    [
      "long id",
      post(room, "1", { ...JSON_TYPE, "idempotency-key": "x".repeat(257) }),
      400,
      "bad_request",
      /1 to 256 bytes/,
    ],
    ["batch is no array", post("/v1/messages", "{}"), 400, "bad_request", /array/],
    [
      "batch of too many",
      post("/v1/messages", `[${"1,".repeat(50)}1]`),
      413,
      "too_large",
      /51 messages, at most 50/,
    ],
    [
      "packed batch is no array",
      post("/v1/messages", bytes(0x80), MSGPACK_TYPE),
      400,
      "bad_request",
      /array/,
    ],
    [
      "packed batch of too many",
      post("/v1/messages", encode(Array(51).fill(1)), MSGPACK_TYPE),
      413,
      "too_large",
      /51/,
    ],
    [
      "packed batch, truncated",
      post("/v1/messages", bytes(0x92, 0x80), MSGPACK_TYPE),
      400,
      "bad_request",
      /end within/,
    ],
    [
      "packed batch, endless",
      post("/v1/messages", bytes(0xdd, 255, 255, 255, 255), MSGPACK_TYPE),
      400,
      "bad_request",
      /end within/,
    ],
    [
      "packed batch, more after it",
      post("/v1/messages", bytes(0x90, 1), MSGPACK_TYPE),
      400,
      "bad_request",
      /follow/,
    ],
    [
      "unknown parameter",
      { path: room, query: "limt=3" },
      400,
      "bad_request",
      /"limt" is unknown; allowed are after, last, limit/,
    ],
    ["parameter twice", { path: room, query: "limit=3&limit=4" }, 400, "bad_request", /twice/],
    ["limit of none", { path: room, query: "limit=0" }, 400, "bad_request", /above 0/],
    ["last above the most", { path: room, query: "last=1001" }, 400, "bad_request", /of 0 to 1000$/],
    ["last below none", { path: room, query: "last=-1" }, 400, "bad_request", /"-1", not .* 0 to 1000/],
    ["limit no number", { path: room, query: "limit=1e3" }, 400, "bad_request", /1e3/],
    ["last and limit", { path: room, query: "last=3&limit=4" }, 400, "bad_request", /neither/],
    ["position without colon", { path: room, query: "after=12" }, 400, "bad_request", /EPOCH:OFFSET/],
    ["position not a number", { path: room, query: "after=e:-1" }, 400, "bad_request", /EPOCH:OFFSET/],
    ["position above 2^53", { path: room, query: "after=e:9999999999999999" }, 400, "bad_request", /2\^53/],
    ["long epoch", { path: room, query: `after=${"e".repeat(65)}:1` }, 400, "bad_request", /64 bytes/],
    [
      "history of an ephemeral room",
      { path: "/v1/rooms/cursors.a/messages" },
      400,
      "bad_request",
      /ephemeral/,
    ],
    ["state where none is kept", { path: "/v1/rooms/a/state" }, 400, "bad_request", /keeps no state/],
    ["state has no last", state("last=1"), 400, "bad_request", /allowed are after, limit/],
  ];
  for (const [name, ask, status, code, message] of cases)
    test(name, async () => {
      const rig = createRig({ limits: { batchMessages: 50 } });
      const reply = await rig.ask(ask);
      const error = errorOf(reply);
      assert.deepEqual([reply.status, error.code], [status, code], error.message);
      assert.match(error.message, message);
      assert.deepEqual(rig.faults, []);
      assert.equal(rig.broker.counters.published, 0);
    });
});
