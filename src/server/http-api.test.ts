import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { decode, encode } from "@msgpack/msgpack";
import { MemoryBroker } from "../broker/memory.js";
import type { Broker } from "../core/ports.js";
import { CodedError } from "../protocol/errors.js";
import { dataOf } from "../protocol/message.js";
import { parseRoom } from "../protocol/room-name.js";
import { createConfig, settingsOf } from "./config.js";
import { bodyValue, createRig, errorOf, JSON_TYPE, MSGPACK_TYPE } from "./http-api.testkit.js";

const KEY = "0123456789abcdef";

test("a published body is stored once encoded, and answered with its position", async () => {
  const { post, ask, broker, counters } = createRig();
  const first = await post("/v1/rooms/chat.lobby/messages", { text: "hé", n: [1, null] });
  assert.equal(first.status, 200);
  const { epoch, offset } = bodyValue(first) as { epoch: string; offset: number };
  assert.equal(offset, 1);
  // Not the shortest way to write 1: the bytes are passed on as they came.
  const odd = new Uint8Array([0xcf, 0, 0, 0, 0, 0, 0, 0, 1]);
  const second = await ask({
    method: "POST",
    path: "/v1/rooms/chat.lobby/messages",
    headers: MSGPACK_TYPE,
    body: odd,
  });
  assert.deepEqual(bodyValue(second), { epoch, offset: 2 });
  const page = await broker.history(parseRoom("chat.lobby"), "oldest", 10);
  assert.ok(page.kind === "page");
  const [a, b] = page.messages;
  assert.ok(a !== undefined && b !== undefined);
  assert.deepEqual(decode(dataOf(a)), { text: "hé", n: [1, null] });
  assert.deepEqual([...dataOf(b)], [...odd]);
  assert.equal(counters.published, 2);
});

test("key and idempotency id come from headers", async () => {
  const { post, broker } = createRig();
  const headers = { "fanwire-key": "a%20%C3%A9%25b", "idempotency-key": "id-1" };
  const path = "/v1/rooms/state.x/messages";
  const first = bodyValue(await post(path, 1, headers));
  assert.deepEqual(bodyValue(await post(path, 1, headers)), first);
  const page = await broker.history(parseRoom("state.x"), "oldest", 10);
  assert.ok(page.kind === "page");
  assert.deepEqual(
    page.messages.map((message) => message.key),
    ["a é%b"],
  );
});

test("a batch is answered item by item, in order, in both formats", async () => {
  const { post, ask, broker } = createRig();
  const batch = [
    { room: "a", data: { n: 1 }, key: "k", id: "one", more: true },
    { room: "bad room", data: 1 },
    { room: "a", data: null },
    { room: "a" },
    { room: "a", data: { n: 1 }, id: "one" },
    { room: "a", data: 1, key: 5 },
    { room: "a", data: 1, id: "x".repeat(257) },
    { room: "b", data: "x".repeat(20_000) },
    7,
    { room: "b", data: [], key: null, id: null },
  ];
  const check = (results: unknown) => {
    assert.ok(Array.isArray(results));
    const short = results.map(
      (result) => result.error?.code ?? `${result.epoch === "" ? "" : "e"}${result.offset}`,
    );
    const bad = "bad_request";
    assert.deepEqual(short, ["e1", "room_invalid", "e2", bad, "e1", bad, bad, "too_large", bad, "e1"]);
  };
  check(bodyValue(await post("/v1/messages", batch)));
  const page = await broker.history(parseRoom("a"), "oldest", 10);
  assert.ok(page.kind === "page");
  assert.deepEqual(
    page.messages.map((message) => [decode(dataOf(message)), message.key]),
    [
      [{ n: 1 }, "k"],
      [null, undefined],
    ],
  );
  const other = createRig();
  const reply = await other.ask({
    method: "POST",
    path: "/v1/messages",
    headers: { ...MSGPACK_TYPE, accept: "application/msgpack" },
    body: encode(batch),
  });
  assert.equal(reply.headers["content-type"], "application/msgpack");
  check(bodyValue(reply));
  assert.deepEqual(
    bodyValue(await ask({ method: "POST", path: "/v1/messages", headers: JSON_TYPE, body: "[]" })),
    [],
  );
});

test("a packed batch may write its counts in any of MessagePack's forms", async () => {
  const { ask } = createRig();
  const item = encode({ room: "a", data: 1 });
  for (const head of [[0x91], [0xdc, 0, 1], [0xdd, 0, 0, 0, 1]])
    for (const map of [[0x82], [0xde, 0, 2], [0xdf, 0, 0, 0, 2]]) {
      const body = new Uint8Array([...head, ...map, ...item.subarray(1)]);
      const reply = await ask({ method: "POST", path: "/v1/messages", headers: MSGPACK_TYPE, body });
      assert.match(String(reply.body), /^\[\{"epoch":"[^"]+","offset":\d+\}\]\n$/);
    }
});

test("a long batch keeps the order of each room and passes data on as bytes", async () => {
  const { ask, broker } = createRig();
  const items = Array.from({ length: 3_000 }, (_, n) => ({ room: `r${n % 3}`, data: n }));
  const reply = await ask({
    method: "POST",
    path: "/v1/messages",
    headers: MSGPACK_TYPE,
    body: encode(items),
  });
  assert.equal(reply.status, 200);
  for (const r of [0, 1, 2]) {
    const page = await broker.history(parseRoom(`r${r}`), "oldest", 5_000);
    assert.ok(page.kind === "page");
    const numbers = page.messages.map((message) => decode(dataOf(message)));
    assert.deepEqual(
      numbers,
      Array.from({ length: 1_000 }, (_, i) => i * 3 + r),
    );
  }
});

test("what the broker refuses stands in its item's place; faults are told and say nothing outside", async () => {
  const broken: Broker = {
    ...new MemoryBroker({ settingsOf: settingsOf(createConfig()) }),
    open: () => Promise.reject(new Error("unused")),
    close: () => {},
    watch: () => Promise.reject(new Error("unused")),
    unwatch: () => {},
    rooms: () => Promise.reject(new Error("secret")),
    history: () => Promise.reject(new Error("secret")),
    state: () => Promise.reject(new Error("secret")),
    stop: () => Promise.resolve(),
    publish: async ({ room }) => {
      if (room === "away") throw new CodedError("unavailable", "the broker is away", 1_500);
      if (room === "bug") throw new TypeError("secret");
      return { epoch: "e", offset: 1 };
    },
  };
  const { post, ask, faults, counters } = createRig({}, broken);
  const items = ["away", "bug", "ok"].map((room) => ({ room, data: 1 }));
  assert.deepEqual(bodyValue(await post("/v1/messages", items)), [
    { error: { code: "unavailable", message: "the broker is away", retryMs: 1_500 } },
    { error: { code: "internal", message: "internal error" } },
    { epoch: "e", offset: 1 },
  ]);
  assert.equal(faults.length, 1);
  assert.deepEqual([counters.published, counters.publishErrors], [1, 2]);
  const away = await post("/v1/rooms/away/messages", 1);
  assert.deepEqual([away.status, away.headers["retry-after"]], [503, "2"]);
  const bug = await ask({ path: "/v1/rooms/bug/messages" });
  assert.equal(bug.status, 500);
  assert.doesNotMatch(String(bug.body), /secret/);
});

describe("history", () => {
  test("pages after a position, from the oldest and the last ones, alike in both formats", async () => {
    const { post, ask } = createRig();
    for (let n = 1; n <= 5; n++)
      await post("/v1/rooms/chat/messages", { n }, n === 2 ? { "fanwire-key": "k" } : {});
    const read = async (query: string, accept = "application/json") =>
      bodyValue(await ask({ path: "/v1/rooms/chat/messages", query, headers: { accept } })) as {
        epoch: string;
        messages: [number, number, unknown, string?][];
        more: boolean;
        lost?: string;
      };
    const { epoch } = await read("");
    const entry = (n: number) => (n === 2 ? [n, 1_000, { n }, "k"] : [n, 1_000, { n }]);
    const cases: [string, number[], boolean][] = [
      ["", [1, 2, 3, 4, 5], false],
      ["limit=2", [1, 2], true],
      [`after=${epoch}:1&limit=2`, [2, 3], true],
      [`after=${epoch}%3A3`, [4, 5], false],
      [`after=${epoch}:5`, [], false],
      ["last=2", [4, 5], false],
      ["last=1000", [1, 2, 3, 4, 5], false],
      ["last=0", [], false],
      ["limit=9999999", [1, 2, 3, 4, 5], false],
    ];
    for (const [query, numbers, more] of cases) {
      const expected = { epoch, messages: numbers.map(entry), more };
      assert.deepEqual(await read(query), expected, query);
      assert.deepEqual(await read(query, "application/vnd.msgpack"), expected, query);
    }
  });

  test("a position that is gone is told, and the messages begin at the oldest", async () => {
    const { post, ask } = createRig();
    for (let n = 1; n <= 5; n++) await post("/v1/rooms/short.x/messages", n);
    const path = "/v1/rooms/short.x/messages";
    const { epoch } = bodyValue(await ask({ path })) as { epoch: string };
    const messages = [
      [4, 1_000, 4],
      [5, 1_000, 5],
    ];
    assert.deepEqual(bodyValue(await ask({ path, query: `after=${epoch}:1` })), {
      epoch,
      lost: "expired",
      more: false,
      messages,
    });
    assert.deepEqual(bodyValue(await ask({ path, query: "after=a:b:1" })), {
      epoch,
      lost: "epoch",
      more: false,
      messages,
    });
  });

  test("a long page is cut at its bytes and says so", async () => {
    const { post, ask } = createRig();
    const data = "x".repeat(15_000);
    for (let n = 0; n < 100; n++) await post("/v1/rooms/big/messages", data);
    const seen: number[] = [];
    let query = "";
    for (let pages = 0; pages < 3; pages++) {
      const reply = await ask({
        path: "/v1/rooms/big/messages",
        query,
        headers: { accept: "application/msgpack" },
      });
      assert.ok(reply.body.length < 1_060_000);
      const page = bodyValue(reply) as { epoch: string; messages: [number][]; more: boolean };
      seen.push(...page.messages.map(([offset]) => offset));
      query = `after=${page.epoch}:${seen.at(-1)}`;
      if (!page.more) break;
    }
    assert.deepEqual(
      seen,
      Array.from({ length: 100 }, (_, i) => i + 1),
    );
  });
});

test("state is the latest message of every key, paged by offset", async () => {
  const { post, ask } = createRig();
  const path = "/v1/rooms/state.m";
  for (const [key, n] of [
    ["a", 1],
    ["b", 2],
    ["a", 3],
    ["c", 4],
  ] as const)
    await post(`${path}/messages`, n, { "fanwire-key": key });
  const whole = bodyValue(await ask({ path: `${path}/state` })) as { epoch: string };
  const { epoch } = whole;
  const [b, a, c] = [
    [2, 1_000, 2, "b"],
    [3, 1_000, 3, "a"],
    [4, 1_000, 4, "c"],
  ];
  assert.deepEqual(whole, { epoch, offset: 4, more: false, messages: [b, a, c] });
  const read = async (query: string) => bodyValue(await ask({ path: `${path}/state`, query }));
  assert.deepEqual(await read("limit=2"), { epoch, offset: 4, more: true, messages: [b, a] });
  assert.deepEqual(await read(`limit=2&after=${epoch}:3`), { epoch, offset: 4, more: false, messages: [c] });
  assert.deepEqual(await read("limit=3"), whole);
  assert.deepEqual(await read(`after=${epoch}:5`), { ...whole, lost: "epoch" });
  assert.deepEqual(await read("limit=1&after=other:3"), {
    epoch,
    offset: 4,
    lost: "epoch",
    more: true,
    messages: [b],
  });
});

test("health is 200 or 503", async () => {
  const { ask, setHealth } = createRig({ apiKeys: [KEY] });
  const reply = await ask({ path: "/healthz" });
  assert.deepEqual(
    [reply.status, bodyValue(reply)],
    [200, { status: "ok", version: "1.2.3", connections: 3 }],
  );
  setHealth({ ok: false });
  assert.equal((await ask({ path: "/healthz" })).status, 503);
});

test("no reply is kept by caches or guessed at by browsers", async () => {
  const { ask } = createRig();
  for (const path of ["/healthz", "/none", "/v1/rooms/a/messages"]) {
    const { headers } = await ask({ path });
    assert.equal(headers["cache-control"], "no-store");
    assert.equal(headers["x-content-type-options"], "nosniff");
  }
});

test("writing needs a key as soon as one is configured, reading does not", async () => {
  const { post, ask } = createRig({ apiKeys: ["another-key-here", KEY] });
  for (const path of ["/v1/rooms/a/messages", "/v1/messages"]) {
    const none = await post(path, []);
    assert.deepEqual([none.status, errorOf(none).code], [401, "unauthenticated"]);
    assert.equal(none.headers["www-authenticate"], 'Bearer realm="fanwire"');
    for (const authorization of [
      `Bearer ${KEY}x`,
      "Bearer ",
      KEY,
      `Basic ${KEY}`,
      `Bearer ${KEY}, Bearer ${KEY}`,
    ])
      assert.equal((await post(path, [], { authorization })).status, 401, authorization);
    assert.match(
      (await post(path, [], { authorization: "Bearer no" })).headers["www-authenticate"] ?? "",
      /invalid_token/,
    );
    for (const authorization of [`Bearer ${KEY}`, `bearer  ${KEY}`, "Bearer another-key-here"])
      assert.equal((await post(path, [], { authorization })).status, 200, authorization);
  }
  assert.equal((await ask({ path: "/v1/rooms/a/messages" })).status, 200);
});

test("the answer's format follows Accept", async () => {
  const { ask } = createRig();
  const json = "application/json; charset=utf-8";
  const cases: [string | undefined, string | 406][] = [
    [undefined, json],
    ["", json],
    ["*/*", json],
    ["application/*", json],
    ["text/html, */*;q=0.1", json],
    ["application/msgpack", "application/msgpack"],
    ["application/vnd.msgpack", "application/vnd.msgpack"],
    ["application/x-msgpack", "application/x-msgpack"],
    ["application/json, application/msgpack", json],
    ["application/json;q=0.5, application/msgpack;q=0.9", "application/msgpack"],
    ["application/JSON;q=0, */*", "application/vnd.msgpack"],
    ["application/msgpack;q=0.4, */*;q=0.2", "application/msgpack"],
    ["text/html", 406],
    ["application/json;q=0", 406],
    ["application/json;q=nonsense", 406],
  ];
  for (const [accept, expected] of cases) {
    const reply = await ask({ path: "/healthz", headers: accept === undefined ? {} : { accept } });
    assert.equal(reply.status === 200 ? reply.headers["content-type"] : reply.status, expected, accept);
  }
});
