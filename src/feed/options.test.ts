import assert from "node:assert/strict";
import { test } from "node:test";
import { type FeedOptions, HELP, parseCommand } from "./options.js";
import { PAIRS } from "./pairs.js";

function options(args: string[], env: NodeJS.ProcessEnv = {}): FeedOptions {
  const command = parseCommand(args, env);
  assert.equal(command.kind, "run");
  if (command.kind !== "run") throw new Error("unreachable");
  return command.options;
}

test("defaults", () => {
  assert.deepEqual(options([]), {
    url: "http://127.0.0.1:9001",
    apiKey: undefined,
    speed: 1,
    pairs: PAIRS,
    host: true,
    market: true,
    nodes: [],
  });
});

test("nodes are a list of names and ports", () => {
  assert.deepEqual(options(["--nodes", "a=1,b=2"]).nodes, [
    { name: "a", port: 1 },
    { name: "b", port: 2 },
  ]);
  const wrong = parseCommand(["--nodes", "a"], {});
  assert.ok(wrong.kind === "wrong" && /--nodes a: must be a list such as/.test(wrong.problems.join()));
});

test("a flag stands above the environment, the environment above the default", () => {
  const env = { FANWIRE_URL: "http://a:1", FANWIRE_API_KEY: "from-env" };
  assert.equal(options([], env).url, "http://a:1");
  assert.equal(options([], env).apiKey, "from-env");
  assert.equal(options(["--url", "https://b:2", "--api-key", "k"], env).url, "https://b:2");
  assert.equal(options([], { FANWIRE_API_KEY: "" }).apiKey, undefined);
});

test("pairs and sources can be chosen", () => {
  assert.deepEqual(
    options(["--symbols", "eurusd, USDJPY"]).pairs.map((pair) => pair.symbol),
    ["EURUSD", "USDJPY"],
  );
  assert.equal(options(["--only", "host"]).market, false);
  assert.equal(options(["--only", "market"]).host, false);
});

test("every problem is reported together", () => {
  const command = parseCommand(
    ["--url", "ftp://x", "--speed", "0", "--symbols", "XXXYYY", "--only", "moon"],
    {},
  );
  assert.equal(command.kind, "wrong");
  assert.equal(command.kind === "wrong" && command.problems.length, 4);
  assert.equal(parseCommand(["--sped", "2"], {}).kind, "wrong");
  assert.equal(parseCommand(["--symbols", ","], {}).kind, "wrong");
});

test("help names every option", () => {
  assert.equal(parseCommand(["--help"], {}).kind, "help");
  for (const option of ["--url", "--api-key", "--speed", "--symbols", "--only"])
    assert.ok(HELP.includes(option));
});
