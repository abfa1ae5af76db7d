import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { createConfig } from "./config.js";
import { createLogger } from "./log.js";
import { type LeftOut, LINES_PER_SECOND, LogBounds } from "./log-bounds.js";
import { thrownByOthers } from "./log-errors.js";

function written(
  log: { level?: "info" | "silent"; pretty: boolean },
  write: (log: ReturnType<typeof createLogger>) => void,
): string {
  const out = new PassThrough();
  write(createLogger(createConfig({ node: "n1", log }), out));
  return String(out.read() ?? "");
}

test("lines are JSON with level, node and message", () => {
  const line = JSON.parse(written({ pretty: false }, (log) => log.info({ port: 1 }, "listening")));
  assert.deepEqual({ ...line, time: 0 }, { level: "info", time: 0, node: "n1", port: 1, msg: "listening" });
});

test("secrets stay out at any usual depth, in both forms", () => {
  for (const pretty of [true, false]) {
    const text = written({ pretty }, (log) => {
      const apiKeys = ["s3cret"];
      log.info(
        { apiKeys, config: { apiKeys }, request: { headers: { authorization: "Bearer s3cret" } } },
        "seen",
      );
    });
    assert.match(text, /seen/);
    assert.doesNotMatch(text, /s3cret/);
  }
});

test("the level is honoured", () => {
  assert.equal(
    written({ level: "silent", pretty: false }, (log) => log.fatal("x")),
    "",
  );
  assert.equal(
    written({ pretty: false }, (log) => log.debug("x")),
    "",
  );
});

test("of one kind of lines some are written a second, and how many were left out", async (t) => {
  const out = new PassThrough();
  const log = createLogger(createConfig({ node: "n1", log: { level: "info", pretty: false } }), out);
  const worker = log.child({ worker: 1 });
  for (let line = 0; line < 500; line += 1) worker.warn({ line }, "noisy");
  worker.warn({}, "rare");
  // The log itself keeps no process alive.
  const hold = setTimeout(() => out.destroy(new Error("nothing was told")), 10_000);
  t.after(() => clearTimeout(hold));
  let text = String(out.read() ?? "");
  for await (const chunk of out) {
    text += String(chunk);
    if (text.includes("left out")) break;
  }
  const lines = text.trim().split("\n");
  assert.equal(lines.filter((line) => line.includes('"msg":"noisy"')).length, LINES_PER_SECOND);
  assert.equal(lines.filter((line) => line.includes('"msg":"rare"')).length, 1);
  const { message, lines: left } = JSON.parse(lines.at(-1) ?? "");
  assert.deepEqual([message, left], ["noisy", 500 - LINES_PER_SECOND]);
});

test("kinds that are made up do not fill memory, nor the disk", () => {
  const told: LeftOut[] = [];
  const bounds = new LogBounds((leftOut) => told.push(leftOut));
  let allowed = 0;
  for (let kind = 0; kind < 10_000; kind += 1) allowed += Number(bounds.allows(`made up ${kind}`, 0));
  assert.ok(allowed <= 200 + LINES_PER_SECOND, String(allowed));
  assert.ok(bounds.allows("the next second", 1_000));
  assert.deepEqual(told, [{ message: "others", lines: 10_000 - allowed }]);
});

test("of an error its class, text and place are logged, and nothing that was hung on it", () => {
  const text = written({ pretty: false }, (log) => {
    const err = Object.assign(new TypeError("what went wrong"), { code: "ECODE", request: "s3cret" });
    log.error({ err }, "failed");
  });
  const { err } = JSON.parse(text);
  assert.deepEqual([err.type, err.code, err.message], ["TypeError", "ECODE", "what went wrong"]);
  assert.match(err.stack[0], /log\.test/);
  assert.doesNotMatch(text, /s3cret/);
});

test("what quotes a client's input, or was thrown by others' code, is logged without its words", () => {
  const parse = (input: string): unknown => {
    try {
      return JSON.parse(input);
    } catch (cause) {
      return cause;
    }
  };
  const text = written({ pretty: false }, (log) => {
    log.error({ err: parse("s3cret") }, "parsed");
    log.error({ thrown: thrownByOthers(new RangeError("s3cret\n    at s3cret (s3cret:1)")) }, "a hook");
    log.error(
      { thrown: thrownByOthers(Object.assign(new Error("x"), { name: "s3cret", code: "s3cret" })) },
      "named",
    );
    log.error({ thrown: thrownByOthers("s3cret") }, "a text");
  });
  assert.doesNotMatch(text, /s3cret/);
  assert.match(text, /"type":"RangeError","stack":\["at .*log\.test/);
});
