import assert from "node:assert/strict";
import { test } from "node:test";
import { parseOptions } from "./scenario.js";

const table = {
  subscribers: { default: 2_000, help: "" },
  servers: { default: "bare", help: "" },
  pin: { default: true, help: "" },
} as const;

test("options have the type of their default", () => {
  assert.deepEqual(parseOptions(table, []), { subscribers: 2_000, servers: "bare", pin: true });
  assert.deepEqual(parseOptions(table, ["--subscribers", "5", "--servers=engine", "--no-pin"]), {
    subscribers: 5,
    servers: "engine",
    pin: false,
  });
});

test("an unknown option and a value that is no number are refused by name", () => {
  assert.throws(() => parseOptions(table, ["--subscriber", "5"]), /--subscriber/);
  assert.throws(() => parseOptions(table, ["--subscribers", "many"]), /--subscribers many/);
  assert.throws(() => parseOptions(table, ["--subscribers", "-1"]));
});
