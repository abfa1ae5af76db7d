import assert from "node:assert/strict";
import { test } from "node:test";
import { OPEN_ACCESS } from "../core/access.js";
import { CODE } from "../protocol/frames.js";
import { parseAddress } from "./address.js";
import { SECRET, tokenOf } from "./auth/tokens.testkit.js";
import { startTestServer } from "./bystander.testkit.js";
import { CallerRates } from "./caller-rates.js";
import { Doorman } from "./gateway-doorman.js";
import { createGatewayCounters, DEFAULT_GATEWAY_LIMITS } from "./gateway-limits.js";
import { eventually, startRig } from "./gateway-rig.testkit.js";
import { RateBook } from "./rate-book.js";
import { handshake, RawSocket, RawWebSocket, within } from "./raw-socket.testkit.js";
import { WireClient } from "./wire-client.testkit.js";

const BEHIND_PROXY = { trusted: ["127.0.0.0/8"], tell: "x-forwarded-for" } as const;
const from = (address: string) => ({ headers: { "X-Forwarded-For": address } });

/** Two sockets of an address that are from outside, as the sockets of a server would give them. */
function peer(text: string) {
  const bytes = parseAddress(text) ?? assert.fail(text);
  return { getRemoteAddress: () => bytes.slice().buffer, getProxiedRemoteAddress: () => new ArrayBuffer(0) };
}

async function refused(
  port: number,
  address: string,
): Promise<{ status: number; retry: string; code: string }> {
  const raw = await RawSocket.connect(port);
  raw.write(handshake(from(address)));
  const { status, headers, body } = await raw.answer();
  await raw.closed;
  return { status, retry: headers.get("retry-after") ?? "", code: JSON.parse(body.toString()).error.code };
}

test("an address has so many connections at once and is told when full; others and this machine are not bothered", async (t) => {
  const rig = await startRig(t, { proxies: BEHIND_PROXY, gatewayLimits: { connectionsPerAddress: 2 } });
  const first = await WireClient.open(rig.port, from("198.51.100.1"));
  await WireClient.open(rig.port, from("198.51.100.1"));
  const { status, retry, code } = await refused(rig.port, "198.51.100.1");
  assert.deepEqual([status, code], [429, "rate_limited"]);
  assert.match(retry, /^[5-7]$/);
  assert.equal(rig.gatewayCounters.connectionsOverAddress, 1);
  await WireClient.open(rig.port, from("198.51.100.2"));
  // No header: the proxy itself, which is this machine.
  for (let count = 0; count < 3; count += 1) await WireClient.open(rig.port);
  first.destroy();
  await within(
    (async () => {
      while (rig.counters.connections > 5) await new Promise((resolve) => setTimeout(resolve, 5));
    })(),
    "the first is gone",
  );
  await WireClient.open(rig.port, from("198.51.100.1"));
});

test("all of an IPv6 /64 is one client", async (t) => {
  const rig = await startRig(t, { proxies: BEHIND_PROXY, gatewayLimits: { connectionsPerAddress: 1 } });
  await WireClient.open(rig.port, from("2001:db8:1:2::1"));
  assert.equal((await refused(rig.port, "2001:db8:1:2:aaaa::5")).status, 429);
  await WireClient.open(rig.port, from("2001:db8:1:3::1"));
});

test("an address has so many handshakes a second; a header of a client that is no proxy changes nothing", async (t) => {
  const rig = await startRig(t, {
    proxies: BEHIND_PROXY,
    gatewayLimits: { handshakesPerSecondPerAddress: 1 },
  });
  // Two seconds' worth at once, whatever the client puts before what the proxy says.
  for (let count = 0; count < 2; count += 1) {
    const client = await WireClient.open(rig.port, from(`203.0.113.${count}, 198.51.100.1`));
    client.destroy();
  }
  const answers = await Promise.all(
    Array.from({ length: 5 }, () => refused(rig.port, "203.0.113.77, 198.51.100.1")),
  );
  assert.ok(answers.some(({ status }) => status === 429));
  assert.ok(rig.gatewayCounters.handshakesOverAddress > 0);
  await WireClient.open(rig.port, from("198.51.100.2"));
});

test("version 2 of the PROXY protocol is believed of trusted proxies only", async (t) => {
  const header = Buffer.concat([
    Buffer.from("0d0a0d0a000d0a515549540a2111000c", "hex"),
    Buffer.of(198, 51, 100, 1, 10, 0, 0, 1, 0x1f, 0x90, 0, 80),
  ]);
  for (const [tell, status] of [
    ["proxy-protocol", 429],
    ["x-forwarded-for", 101],
  ] as const) {
    const rig = await startRig(t, {
      proxies: { ...BEHIND_PROXY, tell },
      gatewayLimits: { connectionsPerAddress: 1 },
    });
    const answers: number[] = [];
    for (let count = 0; count < 2; count += 1) {
      const raw = await RawSocket.connect(rig.port);
      raw.write(Buffer.concat([header, Buffer.from(handshake())]));
      answers.push((await raw.answer()).status);
      t.after(() => raw.destroy());
    }
    assert.deepEqual(answers, [101, status]);
  }
});

function doorman(limits: Partial<typeof DEFAULT_GATEWAY_LIMITS>, trusted: readonly string[] = []) {
  const counters = createGatewayCounters();
  const all = { ...DEFAULT_GATEWAY_LIMITS, ...limits };
  const proxies = { trusted, tell: "x-forwarded-for" } as const;
  return { counters, doorman: new Doorman({ proxies, limits: all, counters, random: () => 0 }) };
}

test("a subject has so many connections at once, wherever from, and has one again when one of them ends", async (t) => {
  const server = await startTestServer(t, { auth: { secret: SECRET }, limits: { connectionsPerSub: 2 } });
  const as = async (sub: string) => ({ headers: { Authorization: `Bearer ${await tokenOf({ sub })}` } });
  const first = await WireClient.open(server.port, await as("ann"));
  await WireClient.open(server.port, await as("ann"));
  const third = await RawWebSocket.open(server.port, await as("ann"));
  assert.equal((await third.untilClosed()).code, 4429);
  await WireClient.open(server.port, await as("bob"));
  assert.equal(server.gatewayCounters.connectionsOverSub, 1);
  first.destroy();
  await eventually(() => server.counters.connections === 2, "the end of the first");
  await WireClient.open(server.port, await as("ann"));
});

test("a connection that says later whose it is counts from then on, once, and is refused where there are too many", async (t) => {
  const server = await startTestServer(t, {
    auth: { secret: SECRET },
    namespaces: { open: { anonymous: "s" } },
    limits: { connectionsPerSub: 2 },
  });
  const ann = await tokenOf({ sub: "ann" });
  const bob = await tokenOf({ sub: "bob" });
  const clients = await Promise.all(Array.from({ length: 3 }, () => WireClient.open(server.port)));
  const [first, second, third] = clients;
  assert.ok(first !== undefined && second !== undefined && third !== undefined);
  // Again and again, and another subject at the same time, changes nothing of who it is.
  const together = await Promise.all(
    [first, first, second].map((one) => one.request(CODE.authenticate, ann)),
  );
  assert.deepEqual(
    together.map(([code]) => code),
    [CODE.ok, CODE.ok, CODE.ok],
  );
  const refusal = await third.request(CODE.authenticate, ann);
  assert.deepEqual([refusal[0], refusal[2]], [CODE.error, "rate_limited"]);
  assert.ok(Number(refusal[4]) >= 5_000, "with a time");
  const both = await Promise.all([
    third.request(CODE.authenticate, bob),
    third.request(CODE.authenticate, await tokenOf({ sub: "eve" })),
  ]);
  assert.deepEqual(
    both.map((answer) => (answer[0] === CODE.ok ? "ok" : answer[2])),
    ["ok", "forbidden"],
  );
  assert.equal(server.gatewayCounters.connectionsOverSub, 1);
  const refused = await RawWebSocket.open(server.port, { headers: { Authorization: `Bearer ${ann}` } });
  assert.equal(
    (await refused.untilClosed()).code,
    4429,
    "counted together with those that come with a token",
  );
  first.destroy();
  await eventually(() => server.counters.connections === 2, "the end of the first");
  await WireClient.open(server.port, { headers: { Authorization: `Bearer ${ann}` } });
  await WireClient.open(server.port, { headers: { Authorization: `Bearer ${bob}` } });
});

test("all sockets of an address together have so many requests a second; each room of a subscribe many is one", async (t) => {
  const gatewayLimits = { requestsPerSecondPerAddress: 50 };
  const rig = await startRig(t, { proxies: BEHIND_PROXY, gatewayLimits });
  const [one, two, other] = await Promise.all([
    WireClient.open(rig.port, from("198.51.100.1")),
    WireClient.open(rig.port, from("198.51.100.1")),
    WireClient.open(rig.port, from("198.51.100.2")),
  ]);
  for (let ref = 1; ref <= 60; ref += 1) one.send([CODE.ping, ref]);
  await one.find(([, ref]) => ref === 60, "the last answer");
  const rooms = Array.from({ length: 60 }, (_, index) => [`many.${index}`]);
  two.send([CODE.subscribeMany, 1, rooms]);
  assert.equal((await two.ws.closed).code, 4429);
  assert.equal(rig.gatewayCounters.requestsOverAddress, 1);
  const [code] = await other.request(CODE.ping);
  assert.equal(code, CODE.ok);
});

test("an address has so many HTTP requests a second, this machine any number", async (t) => {
  const http = async () => ({ status: 200, headers: {}, body: "" });
  const gatewayLimits = { httpRequestsPerSecondPerAddress: 5 };
  const rig = await startRig(t, { proxies: BEHIND_PROXY, gatewayLimits, http });
  const statuses = async (header: string): Promise<number[]> => {
    const found: number[] = [];
    for (let count = 0; count < 30; count += 1) {
      const raw = await RawSocket.connect(rig.port);
      raw.write(`GET / HTTP/1.1\r\nHost: a\r\n${header}\r\n`);
      const { status, headers } = await raw.answer();
      if (status === 429) assert.match(headers.get("retry-after") ?? "", /^[12]$/);
      found.push(status);
      raw.destroy();
    }
    return found;
  };
  const first = await statuses("X-Forwarded-For: 198.51.100.1\r\n");
  assert.deepEqual(first.slice(0, 10), Array<number>(10).fill(200));
  assert.ok(first.includes(429));
  assert.equal(rig.gatewayCounters.httpOverAddress, first.filter((status) => status === 429).length);
  assert.ok((await statuses("")).every((status) => status === 200));
});

test("each API key and each subject has its rate", () => {
  const counters = createGatewayCounters();
  const limits = { httpRequestsPerSecondPerKey: 5, httpRequestsPerSecondPerSub: 5 };
  const rates = new CallerRates(limits, counters);
  const key = (apiKey: string) => ({ apiKey, access: OPEN_ACCESS });
  const sub = (name: string) => ({ apiKey: undefined, access: { ...OPEN_ACCESS, sub: name } });
  for (let count = 0; count < 10; count += 1) rates.check(key("one"), true, 1_000);
  assert.throws(() => rates.check(key("one"), true, 1_000), { code: "rate_limited", retryMs: 200 });
  rates.check(key("one"), false, 1_000);
  rates.check(key("two"), true, 1_000);
  for (let count = 0; count < 100; count += 1)
    rates.check({ apiKey: undefined, access: OPEN_ACCESS }, true, 1_000);
  rates.check(key("one"), true, 1_200);
  assert.equal(counters.httpOverKey, 1);
  for (let count = 0; count < 10; count += 1) rates.check(sub("ann"), count % 2 === 0, 1_000);
  assert.throws(() => rates.check(sub("ann"), false, 1_000), { code: "rate_limited", retryMs: 200 });
  rates.check(sub("bob"), false, 1_000);
  rates.check(sub("ann"), false, 1_200);
  assert.equal(counters.httpOverSub, 1);
});

test("who opens too many TCP connections a second is cut; proxies and this machine are not", () => {
  const { doorman: door, counters } = doorman({ acceptsPerSecondPerAddress: 10 }, ["10.0.0.0/8"]);
  const taken = (address: string) =>
    Array.from({ length: 100 }, () => door.accepts(peer(address), 1_000)).filter((is) => is).length;
  assert.equal(taken("203.0.113.1"), 20);
  assert.equal(counters.acceptsOverAddress, 80);
  assert.deepEqual(
    [taken("203.0.113.2"), taken("10.0.0.1"), taken("127.0.0.1"), taken("::1")],
    [20, 100, 100, 100],
  );
});

test("what is known of addresses is bounded, and forgotten when it says nothing any more", () => {
  const book = new RateBook<number>(1);
  for (let key = 0; key < 200_000; key += 1) book.take(key, 1_000);
  assert.equal(book.size, 65_536);
  for (let second = 1; second <= 20; second += 1) book.sweep(1_000 + second * 1_000);
  assert.equal(book.size, 0);
  assert.equal(new RateBook(0).take("anybody", 0), 0);
});

test("a caller that keeps to the rate is never refused, one above it gets the rate", () => {
  const book = new RateBook<string>(10);
  let [passed, refusals] = [0, 0];
  for (let ms = 0; ms < 60_000; ms += 20) {
    if (book.take("fast", ms) === 0) passed += 1;
    if (ms % 100 === 0 && book.take("fair", ms) > 0) refusals += 1;
  }
  assert.equal(refusals, 0);
  assert.ok(passed >= 600 && passed <= 621, `${passed}`);
});
