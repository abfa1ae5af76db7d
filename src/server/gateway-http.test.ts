import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, startRig } from "./gateway-rig.testkit.js";
import type { HttpHandler, HttpRequest } from "./http-types.js";
import { type HttpAnswer, handshake, RawSocket, RawWebSocket } from "./raw-socket.testkit.js";

/** Answers with what it was asked. */
const echo: HttpHandler = async (request) => ({
  status: 200,
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({
    ...request,
    headers: Object.fromEntries(request.headers),
    body: Buffer.from(request.body).toString(),
  }),
});

const head = (method: string, path: string, ...headers: readonly string[]): string =>
  [`${method} ${path} HTTP/1.1`, "Host: a", ...headers, "", ""].join("\r\n");

function codeOf({ body }: HttpAnswer): string {
  return JSON.parse(body.toString()).error.code;
}

test("a handler gets method, path, query, headers and body as they came", async (t) => {
  const rig = await startRig(t, { http: echo });
  const raw = await RawSocket.connect(rig.port);
  raw.write(`${head("POST", "/v1/a%2Fb?x=1&y=%20", "X-One: 1", "X-One: 2", "Content-Length: 5")}hello`);
  const request: HttpRequest = JSON.parse((await raw.answer()).body.toString());
  const { id, ...asSent } = request;
  assert.match(id ?? "", /^[\w-]{8}-1$/);
  assert.deepEqual(asSent, {
    method: "POST",
    path: "/v1/a%2Fb",
    query: "x=1&y=%20",
    headers: { host: "a", "x-one": "1, 2", "content-length": "5" },
    body: "hello",
  });
});

test("one connection carries many requests: with a body, without, HEAD, chunked, pipelined, empty answers", async (t) => {
  const rig = await startRig(t, {
    http: async (request) => {
      if (request.path === "/none") return { status: 204, headers: {}, body: "" };
      if (request.path === "/same") return { status: 304, headers: { ETag: '"1"' }, body: "" };
      return echo(request);
    },
  });
  const raw = await RawSocket.connect(rig.port);
  raw.write(head("HEAD", "/head"));
  const headAnswer = await raw.answer(false);
  assert.equal(headAnswer.status, 200);
  raw.write(head("GET", "/head"));
  const { body, headers } = await raw.answer();
  assert.equal(headers.get("content-length"), headAnswer.headers.get("content-length"));
  assert.equal(JSON.parse(body.toString()).method, "GET");
  raw.write(head("GET", "/none"));
  assert.equal((await raw.answer()).status, 204);
  raw.write(head("GET", "/same"));
  assert.equal((await raw.answer()).headers.get("etag"), '"1"');
  raw.write(
    `${head("POST", "/chunked", "Transfer-Encoding: chunked")}5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n`,
  );
  assert.equal(JSON.parse((await raw.answer()).body.toString()).body, "hello world");
  raw.write(head("GET", "/1") + head("GET", "/2"));
  assert.equal(JSON.parse((await raw.answer()).body.toString()).path, "/1");
  assert.equal(JSON.parse((await raw.answer()).body.toString()).path, "/2");
  assert.equal(raw.isClosed, false);
  assert.equal(rig.gatewayCounters.httpRequests, 7);
});

test("a body that comes in pieces, byte by byte, is whole", async (t) => {
  const rig = await startRig(t, { http: echo });
  const raw = await RawSocket.connect(rig.port);
  raw.write(head("POST", "/", "Content-Length: 30"));
  await raw.drip("abcdefghijklmnopqrstuvwxyz0123", 1);
  assert.equal(JSON.parse((await raw.answer()).body.toString()).body, "abcdefghijklmnopqrstuvwxyz0123");
});

test("a body above the limit is refused before it is read, or as soon as it exceeds", async (t) => {
  const rig = await startRig(t, { http: echo, gatewayLimits: { bodyBytes: 1_000 } });
  const told = await RawSocket.connect(rig.port);
  told.write(head("POST", "/", "Content-Length: 1001"));
  const first = await told.answer();
  assert.equal(first.status, 413);
  assert.equal(codeOf(first), "too_large");
  assert.equal(await told.closed, "end");

  const untold = await RawSocket.connect(rig.port);
  untold.write(`${head("POST", "/", "Transfer-Encoding: chunked")}3e8\r\n${"x".repeat(1_000)}\r\n`);
  untold.write("1\r\nx\r\n");
  assert.equal(codeOf(await untold.answer()), "too_large");

  const fits = await RawSocket.connect(rig.port);
  fits.write(`${head("POST", "/", "Content-Length: 1000")}${"x".repeat(1_000)}`);
  assert.equal((await fits.answer()).status, 200);
});

test("bodies of all requests together are bounded, and what ends makes room", async (t) => {
  const rig = await startRig(t, { http: echo, gatewayLimits: { bodiesBytes: 1_500 } });
  const first = await RawSocket.connect(rig.port);
  first.write(`${head("POST", "/", "Content-Length: 1001")}${"x".repeat(1_000)}`);
  await eventually(() => rig.gatewayCounters.httpRequests === 1, "the first request");
  const second = await RawSocket.connect(rig.port);
  second.write(`${head("POST", "/", "Content-Length: 1000")}${"x".repeat(1_000)}`);
  const refused = await second.answer();
  assert.equal(refused.status, 503);
  assert.equal(refused.headers.get("retry-after"), "1");
  first.destroy();
  await eventually(() => rig.gatewayCounters.httpRefused === 1, "the refusal");
  const third = await RawSocket.connect(rig.port);
  third.write(`${head("POST", "/", "Content-Length: 1000")}${"x".repeat(1_000)}`);
  assert.equal((await third.answer()).status, 200);
});

test("a head above the limit, several lengths, too many requests at once", async (t) => {
  const release: (() => void)[] = [];
  const rig = await startRig(t, {
    http: async (request) => {
      if (request.path === "/wait") await new Promise<void>((resolve) => release.push(resolve));
      return echo(request);
    },
    gatewayLimits: { requests: 2 },
  });
  const large = await RawSocket.connect(rig.port);
  large.write(head("GET", "/", `X-Large: ${"x".repeat(20_000)}`));
  assert.equal(codeOf(await large.answer()), "too_large");

  const twice = await RawSocket.connect(rig.port);
  twice.write(`${head("POST", "/", "Content-Length: 5", "Content-Length: 6")}hello`);
  assert.equal(codeOf(await twice.answer()), "bad_request");

  const waiting = await Promise.all([RawSocket.connect(rig.port), RawSocket.connect(rig.port)]);
  for (const raw of waiting) raw.write(head("GET", "/wait"));
  await eventually(() => release.length === 2, "two requests that wait");
  const third = await RawSocket.connect(rig.port);
  third.write(head("GET", "/"));
  assert.equal(codeOf(await third.answer()), "unavailable");
  for (const answer of release) answer();
  for (const raw of waiting) assert.equal((await raw.answer()).status, 200);
});

test("a body that does not come and an answer that does not come end with timeout", async (t) => {
  const rig = await startRig(t, {
    http: () => new Promise(() => {}),
    gatewayLimits: { bodyMs: 300, replyMs: 300 },
  });
  const slow = await RawSocket.connect(rig.port);
  slow.write(head("POST", "/", "Content-Length: 100"));
  const dripping = slow.drip("x".repeat(100), 50);
  const timeout = await slow.answer();
  assert.equal(timeout.status, 408);
  assert.equal(codeOf(timeout), "timeout");
  assert.equal(await slow.closed, "end");
  await dripping;

  const unanswered = await RawSocket.connect(rig.port);
  unanswered.write(head("GET", "/"));
  const late = await unanswered.answer();
  assert.equal(late.status, 504);
  assert.equal(codeOf(late), "timeout");
});

test("a handler that throws, rejects, or replies what no header may hold is answered with internal", async (t) => {
  const rig = await startRig(t, {
    http: (request) => {
      if (request.path === "/throw") throw new Error("thrown");
      if (request.path === "/reject") return Promise.reject(new Error("rejected"));
      if (request.path === "/header")
        return Promise.resolve({ status: 200, headers: { "X-Evil": "a\r\nSet-Cookie: b" }, body: "" });
      return echo(request);
    },
  });
  for (const path of ["/throw", "/reject", "/header"]) {
    const raw = await RawSocket.connect(rig.port);
    raw.write(head("GET", path));
    const answer = await raw.answer();
    assert.equal(answer.status, 500, path);
    assert.equal(codeOf(answer), "internal");
    assert.doesNotMatch(answer.body.toString(), /thrown|rejected|Evil/);
  }
  assert.equal(rig.gatewayCounters.faults, 3);
  assert.equal(rig.lines.filter((line) => line.level === "error").length, 3);
});

test("a client that goes away before its answer costs nothing", async (t) => {
  let release: (() => void) | undefined;
  const rig = await startRig(t, {
    http: async (request) => {
      if (request.path === "/wait")
        await new Promise<void>((resolve) => {
          release = resolve;
        });
      return echo(request);
    },
  });
  const raw = await RawSocket.connect(rig.port);
  raw.write(head("GET", "/wait"));
  await eventually(() => release !== undefined, "the request");
  raw.destroy();
  await raw.closed;
  const other = await RawSocket.connect(rig.port);
  other.write(head("GET", "/"));
  assert.equal((await other.answer()).status, 200);
  release?.();
  other.write(head("GET", "/"));
  assert.equal((await other.answer()).status, 200);
  assert.equal(rig.gatewayCounters.faults, 0);
});

test("above half of the places each connection is closed after its reply, so that newcomers get in", async (t) => {
  const rig = await startRig(t, {
    http: async (request) => ({
      ...(await echo(request)),
      body: Buffer.alloc(request.path === "/l" ? 50_000 : 5),
    }),
    gatewayLimits: { plainConnections: 6 },
  });
  const early = await Promise.all(Array.from({ length: 3 }, () => RawSocket.connect(rig.port)));
  for (const raw of early) {
    raw.write(head("GET", "/"));
    assert.equal((await raw.answer()).headers.get("connection"), undefined);
  }
  const fourth = await RawSocket.connect(rig.port);
  fourth.write(head("GET", "/l"));
  const large = await fourth.answer();
  assert.deepEqual([large.headers.get("connection"), large.body.length], ["close", 50_000]);
  // Newcomers one after another, more than there are places; all who ask again are closed, none is refused.
  for (let count = 0; count < 20; count += 1) {
    const raw = await RawSocket.connect(rig.port);
    raw.write(head("GET", "/"));
    assert.equal((await raw.answer()).headers.get("connection"), "close");
    assert.equal(await raw.closed, "end");
  }
  early[0]?.write(head("GET", "/"));
  assert.equal(await early[0]?.closed, "end");
  assert.equal(rig.gatewayCounters.connectionsRefused, 0);
});

test("connections are bounded; those that are no WebSocket keep places of their own", async (t) => {
  const rig = await startRig(t, { http: echo, gatewayLimits: { connections: 10, plainConnections: 5 } });
  for (let opened = 0; opened < 10; opened += 1) await RawWebSocket.open(rig.port);
  const refused = await RawSocket.connect(rig.port);
  refused.write(handshake());
  assert.equal((await refused.answer()).status, 503);
  await refused.closed;
  const silent = await Promise.all(Array.from({ length: 5 }, () => RawSocket.connect(rig.port)));
  const extra = await Promise.all(Array.from({ length: 100 }, () => RawSocket.connect(rig.port)));
  for (const raw of extra) raw.write(handshake());
  await Promise.all(extra.map((raw) => raw.closed));
  assert.equal(rig.gatewayCounters.connectionsRefused, 100);
  for (const raw of silent) raw.destroy();
  // The server learns of their end in its own time.
  let answer: HttpAnswer | undefined;
  for (let attempt = 0; answer === undefined && attempt < 100; attempt += 1) {
    const raw = await RawSocket.connect(rig.port);
    raw.write(head("GET", "/"));
    answer = await raw.answer().catch(() => undefined);
  }
  assert.equal(answer?.status, 200);
});
