import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { createConfig } from "./config.js";
import { createLogger } from "./log.js";

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
