import assert from "node:assert/strict";
import { test } from "node:test";
import { CODE } from "../../protocol/frames.js";
import { startTestServer } from "../bystander.testkit.js";
import { createConfig } from "../config.js";
import { startServer } from "../server.js";
import { WireClient } from "../wire-client.testkit.js";
import { claimsOf, codeOf, hmac, knock, nowSeconds, rawToken, SECRET, tokenOf } from "./tokens.testkit.js";

const ROOMS = { chat: { publish: "client" as const }, open: { anonymous: "s" } };

const withToken = (token: string) => ({ headers: { Authorization: `Bearer ${token}` } });

test("a good token opens a connection with its rights, wherever it stands in the handshake", async (t) => {
  const { port } = await startTestServer(t, { auth: { secret: SECRET }, namespaces: ROOMS });
  const token = await tokenOf();
  for (const options of [
    withToken(token),
    { path: `/ws?token=${token}` },
    { protocol: `token.${token}, fanwire.v1` },
    { protocol: `fanwire.v1.json, token.${token}` },
  ]) {
    const client = await WireClient.open(port, options);
    await client.subscribe("chat.a");
    assert.equal((await client.request(CODE.publish, "chat.a", 1))[0], CODE.ok);
    assert.equal((await client.request(CODE.publish, "other.a", 1))[2], "forbidden");
    assert.equal((await client.request(CODE.subscribe, "other.a"))[2], "forbidden");
    client.destroy();
  }
});

test("hostile tokens are refused before the upgrade, each with its code", async (t) => {
  const server = await startTestServer(t, {
    auth: { secret: SECRET, issuer: "us", audience: "feeds", maxTokenSeconds: 3_600 },
  });
  const now = nowSeconds();
  const good = claimsOf({ iss: "us", aud: ["feeds", "more"] });
  const sign = (claims: object, secret = SECRET) =>
    rawToken({ alg: "HS256" }, { ...good, ...claims }, hmac(secret));
  const header = (fields: object) => rawToken({ alg: "HS256", ...fields }, good, hmac(SECRET));
  assert.equal((await knock(server.port, sign({}))).status, 101);
  const [head = "", body = "", signature = ""] = sign({}).split(".");
  const flipped = `${signature.startsWith("A") ? "B" : "A"}${signature.slice(1)}`;
  const cases: Record<string, string> = {
    "alg none": rawToken({ alg: "none" }, good, () => ""),
    "alg None": rawToken({ alg: "None" }, good, () => ""),
    "alg none with a signature": rawToken({ alg: "none" }, good, hmac(SECRET)),
    "alg HS512": header({ alg: "HS512" }),
    "alg RS256": header({ alg: "RS256" }),
    "alg a list": header({ alg: ["HS256"] }),
    "no alg": header({ alg: undefined }),
    "crit unknown": header({ crit: ["b64"], b64: false }),
    "another secret": sign({}, "another secret of enough length.."),
    "no signature": `${head}.${body}.`,
    "a flipped signature": `${head}.${body}.${flipped}`,
    "another body": `${head}.${Buffer.from(JSON.stringify({ ...good, sub: "eve" })).toString("base64url")}.${signature}`,
    "two parts": `${head}.${body}`,
    "four parts": `${sign({})}.x`,
    garbage: "garbage",
    dots: "..",
    "__proto__ as header": rawToken(JSON.parse('{"__proto__":{"alg":"HS256"}}'), good, hmac(SECRET)),
    expired: sign({ iat: now - 600, exp: now - 60 }),
    "not yet": sign({ nbf: now + 60 }),
    "of the future": sign({ iat: now + 60 }),
    "too long a life": sign({ exp: now + 7_200 }),
    "too long a life without iat": sign({ iat: undefined, exp: now + 7_200 }),
    "no exp": sign({ exp: undefined }),
    "exp as text": sign({ exp: String(now + 60) }),
    "exp infinite": rawToken({ alg: "HS256" }, good, hmac(SECRET)).replace(
      body,
      Buffer.from(JSON.stringify(good).replace(/"exp":\d+/, '"exp":1e999')).toString("base64url"),
    ),
    "no sub": sign({ sub: undefined }),
    "sub as a number": sign({ sub: 7 }),
    "sub empty": sign({ sub: "" }),
    "no issuer": sign({ iss: undefined }),
    "another issuer": sign({ iss: "them" }),
    "no audience": sign({ aud: undefined }),
    "another audience": sign({ aud: "mail" }),
    "rooms no list": sign({ rooms: "chat.>" }),
    "rooms of unknown rights": sign({ rooms: [["chat.>", "sx"]] }),
    "rooms with a pattern in the middle": sign({ rooms: [["chat.>.a", "s"]] }),
    "rooms too many": sign({ rooms: Array.from({ length: 257 }, () => [">", "s"]) }).slice(0, 4_096),
    "no token": "",
  };
  for (const [name, token] of Object.entries(cases)) {
    const answer = await knock(server.port, token === "" ? undefined : token);
    assert.deepEqual([answer.status, codeOf(answer)], [401, "unauthenticated"], name);
  }
  const huge = await knock(server.port, sign({ pad: "x".repeat(5_000) }));
  assert.deepEqual([huge.status, codeOf(huge)], [413, "too_large"]);
  assert.equal(server.counters.connectionsTotal, 1);
  assert.equal(server.gatewayCounters.faults, 0);
  assert.equal(server.gatewayCounters.tokensRefused, Object.keys(cases).length + 1);
});

test("a token that is refused in the query or as a sub-protocol is refused, not passed over", async (t) => {
  const { port } = await startTestServer(t, { auth: { secret: SECRET }, namespaces: ROOMS });
  assert.equal((await knock(port, undefined, "/ws?token=garbage")).status, 401);
  await assert.rejects(WireClient.open(port, { protocol: "fanwire.v1, token.garbage" }), /401/);
  // Where there are two, the first place counts: a bad one is not made good by another.
  const good = await tokenOf();
  assert.equal((await knock(port, "garbage", `/ws?token=${good}`)).status, 401);
});

test("clocks may differ by the tolerance", async (t) => {
  const { port } = await startTestServer(t, { auth: { secret: SECRET, toleranceSeconds: 30 } });
  const now = nowSeconds();
  assert.equal((await knock(port, await tokenOf({ iat: now - 100, exp: now - 10 }))).status, 101);
  assert.equal((await knock(port, await tokenOf({ nbf: now + 20, iat: now + 20 }))).status, 101);
  assert.equal((await knock(port, await tokenOf({ iat: now - 100, exp: now - 40 }))).status, 401);
});

test("whoever has no token may what a namespace allows to everybody, and nothing else", async (t) => {
  const { port, url } = await startTestServer(t, { auth: { secret: SECRET }, namespaces: ROOMS });
  const client = await WireClient.open(port);
  await client.subscribe("open.a");
  assert.equal((await client.request(CODE.history, "open.a"))[2], "forbidden");
  assert.equal((await client.request(CODE.subscribe, "chat.a"))[2], "forbidden");
  assert.equal((await client.request(CODE.publish, "chat.a", 1))[2], "forbidden");
  assert.equal((await fetch(`${url}/v1/rooms/open.a/messages`)).status, 401);
  // Signing in later, on the same connection.
  assert.equal((await client.request(CODE.authenticate, await tokenOf()))[0], CODE.ok);
  assert.equal((await client.request(CODE.publish, "chat.a", 1))[0], CODE.ok);
});

test("where no namespace allows anything to everybody, nobody connects without a token", async (t) => {
  const { port } = await startTestServer(t, { auth: { secret: SECRET } });
  const answer = await knock(port, undefined);
  assert.deepEqual([answer.status, codeOf(answer)], [401, "unauthenticated"]);
});

test("without auth everything is open, and a token is of no account", async (t) => {
  const { port, url } = await startTestServer(t, { namespaces: ROOMS });
  const client = await WireClient.open(port, withToken("garbage"));
  await client.subscribe("any.room");
  assert.equal((await client.request(CODE.authenticate, "t"))[2], "bad_request");
  assert.equal((await fetch(`${url}/v1/rooms/chat.a/messages`)).status, 200);
  const revocation = await fetch(`${url}/v1/revocations`, { method: "POST", body: "{}" });
  assert.equal(revocation.status, 404);
});

test("rooms of one's own: {sub} stands for the subject, and no subject reaches into another's", async (t) => {
  const { port } = await startTestServer(t, {
    auth: { secret: SECRET, rooms: [["user.{sub}.>", "sph"]] },
    namespaces: { user: { publish: "client" } },
  });
  const as = async (sub: string, rooms: unknown = []) =>
    WireClient.open(port, withToken(await tokenOf({ sub, rooms })));
  const may = async (client: WireClient, room: string) =>
    (await client.request(CODE.subscribe, room))[0] === CODE.ok;
  const ada = await as("ada");
  assert.deepEqual([await may(ada, "user.ada.inbox"), await may(ada, "user.eve.inbox")], [true, false]);
  assert.equal(await may(ada, "user.ada"), false);
  for (const sub of ["*", ">", "ada.inbox", "a.*", "ada\n", "{sub}", "ad+a", ".*", "a|ada"]) {
    const eve = await as(sub, [["me-{sub}", "s"]]);
    for (const room of ["user.ada.inbox", "user.eve.inbox", "me-ada"])
      assert.equal(await may(eve, room), false, `${sub} ${room}`);
    eve.destroy();
  }
});

test("a connection is warned before its token expires, may renew it, and is closed with 4401 if not", async (t) => {
  const server = await startTestServer(t, {
    auth: { secret: SECRET, toleranceSeconds: 0, warnSeconds: 60 },
    namespaces: ROOMS,
  });
  const short = async () => tokenOf({ exp: nowSeconds() + 8 });
  const renewing = await WireClient.open(server.port, withToken(await short()));
  const careless = await WireClient.open(server.port, withToken(await short()));
  const isWarning = (value: readonly unknown[]) =>
    value[0] === CODE.error && value[1] === 0 && value[2] === "unauthenticated";
  await renewing.find(isWarning, "the warning");
  await careless.find(isWarning, "the warning");
  const [code, , result] = await renewing.request(CODE.authenticate, await tokenOf());
  assert.equal(code, CODE.ok);
  assert.ok(typeof result === "object" && result !== null && "expiresMs" in result);
  assert.ok(Number(result.expiresMs) > 500_000);
  assert.equal((await careless.ws.closed).code, 4401);
  await renewing.subscribe("chat.a");
  assert.equal(server.gatewayCounters.tokensExpired, 1);
});

test("a refused renewal changes nothing, one of another subject is forbidden, one that allows less takes rooms away", async (t) => {
  const { port, url } = await startTestServer(t, { auth: { secret: SECRET }, namespaces: ROOMS });
  const rooms = [
    ["chat.a", "s"],
    ["chat.b", "s"],
  ];
  const client = await WireClient.open(port, withToken(await tokenOf({ rooms })));
  await client.subscribe("chat.a");
  await client.subscribe("chat.b");
  assert.equal((await client.request(CODE.authenticate, "garbage"))[2], "unauthenticated");
  assert.equal((await client.request(CODE.authenticate, await tokenOf({ sub: "eve" })))[2], "forbidden");
  assert.equal((await client.request(CODE.authenticate, "x".repeat(5_000)))[2], "too_large");
  const expired = await tokenOf({ exp: nowSeconds() - 60 });
  assert.equal((await client.request(CODE.authenticate, expired))[2], "unauthenticated");
  await client.request(CODE.authenticate, await tokenOf({ rooms: [["chat.b", "s"]] }));
  const left = await client.find(([code, ref]) => code === CODE.error && ref === 0, "the room that is left");
  assert.deepEqual([left[2], left[5]], ["forbidden", "chat.a"]);
  const publisher = await WireClient.open(port, withToken(await tokenOf({ rooms: [["chat.*", "p"]] })));
  for (const room of ["chat.a", "chat.b"]) await publisher.request(CODE.publish, room, 1);
  await client.arrived("chat.b", 1);
  assert.equal(client.messages("chat.a").length, 0);
  assert.equal((await fetch(`${url}/v1/rooms/chat.b/messages`)).status, 401);
});

test("tokens hold over HTTP too, room by room, and a client is a client there", async (t) => {
  const { url } = await startTestServer(t, {
    auth: { secret: SECRET },
    apiKeys: ["backend-key-0123456789"],
    namespaces: {
      chat: { publish: "client" },
      news: { state: true, anonymous: "h" },
      cursors: { publish: "client", key: "sender" },
    },
  });
  const ask = async (path: string, credential?: string, body?: unknown) => {
    const answer = await fetch(`${url}/v1/${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: {
        "content-type": "application/json",
        ...(credential === undefined ? {} : { authorization: `Bearer ${credential}` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return [answer.status, await answer.json()] as const;
  };
  const rooms = [
    ["chat.a", "ph"],
    ["news.a", "p"],
    ["cursors.a", "p"],
  ];
  const token = await tokenOf({ rooms });
  assert.equal((await ask("rooms/chat.a/messages", token, 1))[0], 200);
  assert.equal((await ask("rooms/chat.a/messages", token))[0], 200);
  assert.equal((await ask("rooms/chat.b/messages", token, 1))[0], 403);
  assert.equal((await ask("rooms/chat.b/messages", token))[0], 403);
  assert.equal((await ask("rooms/chat.a/messages", undefined, 1))[0], 401);
  assert.equal((await ask("rooms/chat.a/messages"))[0], 401);
  assert.equal((await ask("rooms/chat.a/messages", "garbage"))[0], 401);
  // What the namespace leaves to backends stays theirs, whatever a token says.
  assert.equal((await ask("rooms/news.a/messages", token, 1))[0], 403);
  assert.equal((await ask("rooms/news.a/messages", "backend-key-0123456789", 1))[0], 200);
  // Nor does anybody take another's key by a way on which the server puts in none.
  const [status, refusal] = await ask("rooms/cursors.a/messages", token, 1);
  assert.equal(status, 403);
  assert.match(refusal.error.message, /its senders'.*WebSocket/);
  assert.equal((await ask("rooms/cursors.a/messages", "backend-key-0123456789", 1))[0], 200);
  assert.equal((await ask("rooms/news.a/messages"))[0], 200);
  assert.equal((await ask("rooms/news.a/state"))[0], 200);
  const batch = [
    { room: "chat.a", data: 1 },
    { room: "chat.b", data: 1 },
    { room: "news.a", data: 1 },
    { room: "cursors.a", data: 1 },
  ];
  const [, results] = await ask("messages", token, batch);
  assert.deepEqual(
    results.map((result: { error?: { code: string } }) => result.error?.code),
    [undefined, "forbidden", "forbidden", "forbidden"],
  );
});

test("over HTTP a token may stand in the query, a key may not, and a subject has its rate", async (t) => {
  const server = await startTestServer(t, {
    auth: { secret: SECRET },
    apiKeys: ["backend-key-0123456789"],
    namespaces: { chat: { publish: "client" } },
    limits: { httpRequestsPerSecondPerSub: 5 },
  });
  const ask = (query: string, headers = {}) =>
    fetch(`${server.url}/v1/rooms/chat.a/messages?${query}`, { headers });
  const token = await tokenOf();
  assert.equal((await ask(`token=${token}`)).status, 200);
  assert.equal((await ask(`limit=1&token=${token}`)).status, 200);
  assert.equal((await ask("token=garbage")).status, 401);
  assert.equal((await ask("token=")).status, 401);
  assert.equal((await ask("token=backend-key-0123456789")).status, 401);
  // The header counts before it.
  assert.equal((await ask(`token=${token}`, { authorization: "Bearer garbage" })).status, 401);
  const published = await fetch(`${server.url}/v1/rooms/chat.a/messages?token=${token}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "1",
  });
  assert.equal(published.status, 200);
  const answers = await Promise.all(Array.from({ length: 60 }, () => ask(`token=${token}`)));
  const told = answers.find(({ status }) => status === 429);
  assert.match(told?.headers.get("retry-after") ?? "", /^[12]$/);
  assert.equal(server.gatewayCounters.httpOverSub, answers.filter(({ status }) => status === 429).length);
  assert.equal((await ask(`token=${await tokenOf({ sub: "bob" })}`)).status, 200);
});

test("a server whose keys cannot be read does not start, and says why", async () => {
  const config = (auth: object) => createConfig({ port: 0, log: { level: "silent" }, auth });
  await assert.rejects(startServer(config({ keyFile: "/nowhere/key.pem" })), /auth\.keyFile .*ENOENT/);
  assert.throws(() => config({ secret: "short" }), /32 to 4096/);
  assert.throws(() => config({ secret: SECRET, keyFile: "a" }), /at most one of/);
  assert.throws(() => config({ rooms: [["a.>.b", "s"]] }), /pattern/);
});
