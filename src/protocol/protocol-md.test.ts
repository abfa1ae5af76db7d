import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { decodeServer } from "./client-wire.testkit.js";
import { CLOSE_CODES, ERROR_STATUS } from "./errors.js";
import { CODE } from "./frames.js";
import { decodeValue } from "./value.js";
import { limits } from "./values.testkit.js";
import { msgpackWire } from "./wire.js";

const page = readFileSync(new URL("../../src/protocol/PROTOCOL.md", import.meta.url), "utf8");

test("the worked example's bytes are what stands below them", () => {
  const lines = page.split("\n");
  let count = 0;
  lines.forEach((line, index) => {
    const hex = /^([←→]) ([0-9a-f ]+)$/.exec(line);
    if (hex === null) return;
    count++;
    const bytes = Buffer.from((hex[2] ?? "").replaceAll(" ", ""), "hex");
    const json = (lines[index + 1] ?? "").replace(/(\w+):/g, '"$1":');
    assert.deepEqual(decodeValue(bytes), JSON.parse(json), line);
    if (hex[1] === "←") assert.equal(decodeServer(bytes).length, 1);
    else assert.notEqual(msgpackWire.decode(bytes, limits)[0]?.type, "invalid");
  });
  assert.equal(count, 11);
});

test("the page has every code there is, and no other", () => {
  const codes = [...page.matchAll(/^\| (\d+) \| (\w+(?: many)?) \|/gm)].map(([, code, name]) => [
    name,
    Number(code),
  ]);
  assert.deepEqual(
    Object.fromEntries(codes),
    Object.fromEntries(Object.entries(CODE).map(([name, code]) => [name.replace("Many", " many"), code])),
  );
  for (const [code, status] of Object.entries(ERROR_STATUS)) {
    assert.ok(page.includes(`\`${code}\``), code);
    assert.ok(page.includes(String(status)), code);
  }
  for (const code of Object.keys(CLOSE_CODES)) assert.ok(page.includes(code), code);
});
