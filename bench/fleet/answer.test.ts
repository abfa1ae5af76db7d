import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAnswer } from "./answer.js";

const UPGRADE = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";

test("an upgrade says where frames begin", () => {
  assert.deepEqual(parseAnswer(`${UPGRADE}\u0082\u0001`), { kind: "switched", end: UPGRADE.length });
});

test("a refusal has its status and when to come back", () => {
  const refusal = (headers: string): string => `HTTP/1.1 503 Service Unavailable\r\n${headers}\r\n{}`;
  assert.deepEqual(parseAnswer(refusal("Retry-After: 3\r\nContent-Length: 2\r\n")), {
    kind: "refused",
    status: 503,
    retryMs: 3_000,
  });
  assert.deepEqual(parseAnswer(refusal("content-length: 2\r\nretry-after:0.25\r\n")), {
    kind: "refused",
    status: 503,
    retryMs: 250,
  });
  assert.deepEqual(
    parseAnswer(`${refusal("Retry-After: 2\r\n")}{"error":{"code":"unavailable","retryMs":1234}}`),
    {
      kind: "refused",
      status: 503,
      retryMs: 1_234,
    },
  );
  // A date, or what stands in the body, is no number of seconds.
  for (const headers of ["", "Retry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n", "X-Retry-After: 9\r\n"])
    assert.deepEqual(parseAnswer(`${refusal(headers)}\r\nRetry-After: 7\r\n`), {
      kind: "refused",
      status: 503,
      retryMs: undefined,
    });
});

test("a head in parts is waited for, whatever its cut", () => {
  for (let end = 0; end < UPGRADE.length; end++)
    assert.equal(parseAnswer(UPGRADE.slice(0, end)).kind, "partial", String(end));
  assert.equal(parseAnswer(UPGRADE).kind, "switched");
});

test("what is not HTTP, or has no end, is broken", () => {
  for (const text of ["SSH-2.0\r\n", "HTTP/1.1 OK\r\n\r\n", `HTTP/1.1 200 OK\r\nX: ${"x".repeat(17_000)}`])
    assert.equal(parseAnswer(text).kind, "broken", text.slice(0, 20));
});
