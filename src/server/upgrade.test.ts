import assert from "node:assert/strict";
import { test } from "node:test";
import { CODE } from "../protocol/frames.js";
import { startRig } from "./gateway-rig.testkit.js";
import { type HandshakeOptions, handshake, OPCODE, RawSocket, RawWebSocket } from "./raw-socket.testkit.js";
import { decideUpgrade, type UpgradeRequest } from "./upgrade.js";
import { WireClient } from "./wire-client.testkit.js";

interface Refusal {
  readonly name: string;
  readonly request: HandshakeOptions;
  readonly status: number;
  readonly code: string;
  readonly header?: readonly [string, string];
}

const REFUSALS: readonly Refusal[] = [
  {
    name: "a method other than GET",
    request: { method: "POST", headers: { "Content-Length": "0" } },
    status: 405,
    code: "bad_request",
    header: ["allow", "GET"],
  },
  {
    name: "no Upgrade header",
    request: { headers: { Upgrade: undefined } },
    status: 426,
    code: "bad_request",
    header: ["upgrade", "websocket"],
  },
  {
    name: "an upgrade to something else",
    request: { headers: { Upgrade: "h2c" } },
    status: 426,
    code: "bad_request",
  },
  {
    name: "an old version",
    request: { headers: { "Sec-WebSocket-Version": "8" } },
    status: 426,
    code: "bad_request",
    header: ["sec-websocket-version", "13"],
  },
  {
    name: "no version",
    request: { headers: { "Sec-WebSocket-Version": undefined } },
    status: 426,
    code: "bad_request",
  },
  {
    name: "no key",
    request: { headers: { "Sec-WebSocket-Key": undefined } },
    status: 400,
    code: "bad_request",
  },
  {
    name: "a short key",
    request: { headers: { "Sec-WebSocket-Key": "c2hvcnQ=" } },
    status: 400,
    code: "bad_request",
  },
  {
    name: "a key of the right length that is no base64",
    request: { headers: { "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub2*jZQ==" } },
    status: 400,
    code: "bad_request",
  },
  {
    name: "a page of another host",
    request: { headers: { Origin: "https://evil.example" } },
    status: 403,
    code: "forbidden",
  },
  {
    name: "a page of no host",
    request: { headers: { Origin: "null" } },
    status: 403,
    code: "forbidden",
  },
  {
    name: "only unknown sub-protocols",
    request: { protocol: "mqtt, graphql-ws" },
    status: 400,
    code: "bad_request",
  },
  {
    name: "an unknown sub-protocol beside a token",
    request: { protocol: "token.abc, mqtt" },
    status: 400,
    code: "bad_request",
  },
];

test("each refused handshake has its status and a coded body", async (t) => {
  const rig = await startRig(t);
  for (const { name, request, status, code, header } of REFUSALS)
    await t.test(name, async () => {
      const raw = await RawSocket.connect(rig.port);
      raw.write(handshake(request));
      const answer = await raw.answer();
      assert.equal(answer.status, status);
      const { error } = JSON.parse(answer.body.toString());
      assert.equal(error.code, code);
      assert.ok(error.message.length > 10);
      assert.match(answer.headers.get("content-type") ?? "", /^application\/json/);
      if (header !== undefined) assert.equal(answer.headers.get(header[0]), header[1]);
      assert.equal(await raw.closed, "end");
    });
  assert.equal(rig.gatewayCounters.upgradesRefused, REFUSALS.length);
  assert.equal(rig.counters.connectionsTotal, 0);
});

const ACCEPTED: readonly {
  name: string;
  request: HandshakeOptions;
  answered: string | undefined;
  text: boolean;
}[] = [
  { name: "none offered: fanwire.v1, unsaid", request: {}, answered: undefined, text: false },
  {
    name: "fanwire.v1",
    request: { protocol: "fanwire.v1" },
    answered: "fanwire.v1",
    text: false,
  },
  {
    name: "fanwire.v1.json",
    request: { protocol: "fanwire.v1.json" },
    answered: "fanwire.v1.json",
    text: true,
  },
  {
    name: "the client's first choice that is known",
    request: { protocol: "mqtt, fanwire.v1.json, fanwire.v1" },
    answered: "fanwire.v1.json",
    text: true,
  },
  {
    name: "beside a token",
    request: { protocol: "token.a.b.c, fanwire.v1" },
    answered: "fanwire.v1",
    text: false,
  },
  { name: "a token alone: as none", request: { protocol: "token.a.b.c" }, answered: undefined, text: false },
  {
    name: "Upgrade in other letters, among others",
    request: { headers: { Upgrade: "h2c, WebSocket" } },
    answered: undefined,
    text: false,
  },
];

test("sub-protocol choice, and welcome comes first", async (t) => {
  const rig = await startRig(t);
  for (const { name, request, answered, text } of ACCEPTED)
    await t.test(name, async () => {
      const ws = await RawWebSocket.open(rig.port, request);
      assert.equal(ws.protocol, answered);
      const { opcode } = await ws.frame();
      assert.equal(opcode, text ? OPCODE.text : OPCODE.binary);
      ws.destroy();
      const client = await WireClient.open(rig.port, request);
      const [code, , result] = await client.request(CODE.ping);
      assert.equal(code, CODE.ok);
      assert.ok(typeof result === "object" && result !== null && "time" in result);
      client.destroy();
    });
});

test("a full server refuses with a time to come back, and takes the next when one leaves", async (t) => {
  const rig = await startRig(t, { gatewayLimits: { connections: 2 } });
  const first = await WireClient.open(rig.port);
  await WireClient.open(rig.port);
  const raw = await RawSocket.connect(rig.port);
  raw.write(handshake());
  const { status, headers, body } = await raw.answer();
  assert.equal(status, 503);
  assert.equal(headers.get("retry-after"), "1");
  assert.equal(JSON.parse(body.toString()).error.code, "unavailable");
  first.ws.send(OPCODE.close, Buffer.from([0x03, 0xe8]));
  await first.ws.closed;
  const third = await WireClient.open(rig.port);
  third.destroy();
});

const GOOD: UpgradeRequest = {
  method: "GET",
  host: "app.example",
  origin: "",
  upgrade: "websocket",
  version: "13",
  key: "dGhlIHNhbXBsZSBub25jZQ==",
  protocol: "",
};

const ORIGINS: readonly [origins: readonly string[], origin: string, host: string, allowed: boolean][] = [
  [[], "", "app.example", true],
  [[], "https://app.example", "app.example", true],
  [[], "https://app.example", "APP.example", true],
  [[], "https://app.example", "app.example:443", true],
  [[], "http://app.example", "app.example:80", true],
  [[], "http://app.example:8080", "app.example:8080", true],
  [[], "http://app.example:8080", "app.example", false],
  [[], "https://app.example", "app.example:8443", false],
  [[], "https://app.example.evil.example", "app.example", false],
  [[], "https://evil.example", "app.example", false],
  [[], "null", "app.example", false],
  [[], "garbage", "app.example", false],
  [["*"], "https://evil.example", "app.example", true],
  [["*"], "null", "app.example", true],
  [["https://app.example"], "https://app.example", "api.example", true],
  [["https://app.example"], "https://app.example:443", "api.example", true],
  [["https://app.example"], "", "api.example", true],
  [["https://app.example"], "http://app.example", "api.example", false],
  [["https://app.example"], "https://app.example:8443", "api.example", false],
  [["https://app.example"], "https://sub.app.example", "api.example", false],
  // A listed origin replaces the rule of the same host, which a rebound DNS name would pass.
  [["https://app.example"], "https://api.example", "api.example", false],
  [["capacitor://localhost"], "capacitor://localhost", "api.example", true],
  [["capacitor://localhost"], "ionic://localhost", "api.example", false],
  [["capacitor://localhost"], "evil://elsewhere", "api.example", false],
];

test("which pages may connect", () => {
  for (const [origins, origin, host, allowed] of ORIGINS) {
    const policy = { origins, connectionsMax: 1 };
    const decision = decideUpgrade({ ...GOOD, origin, host }, policy, 0, false);
    assert.equal(decision.kind, allowed ? "accept" : "refuse", `${origin} at ${host}, allowed: ${origins}`);
  }
});

test("a draining server takes no new connections", () => {
  const decision = decideUpgrade(GOOD, { origins: [], connectionsMax: 1 }, 0, true);
  assert.equal(decision.kind === "refuse" && decision.error.code, "unavailable");
});
