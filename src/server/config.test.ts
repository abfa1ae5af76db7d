import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { DEFAULT_LIMITS } from "../core/limits.js";
import { DEFAULT_ROOM_SETTINGS } from "../core/settings.js";
import { parseRoom } from "../protocol/room-name.js";
import {
  ConfigError,
  type ConfigSources,
  createConfig,
  loadConfig,
  maskSecrets,
  settingsOf,
} from "./config.js";
import { CONFIG_ENTRIES, configMarkdown, configReference } from "./config-table.js";

const dir = mkdtempSync(join(tmpdir(), "fanwire-config-"));
after(() => rmSync(dir, { recursive: true }));

const KEY = "0123456789abcdef";

let files = 0;
function load(sources: { argv?: string[]; env?: ConfigSources["env"]; file?: unknown; text?: string }) {
  const cwd = join(dir, String(files++));
  const text = sources.text ?? (sources.file === undefined ? undefined : JSON.stringify(sources.file));
  if (text !== undefined) writeFileSync(`${cwd}.json`, text);
  const argv = [...(text === undefined ? [] : ["--config", `${cwd}.json`]), ...(sources.argv ?? [])];
  return loadConfig({ argv, env: sources.env ?? {}, cwd: dir });
}

function problemsOf(run: () => unknown): string[] {
  try {
    run();
  } catch (cause) {
    assert.ok(cause instanceof ConfigError, String(cause));
    return cause.message.split("\n").map((line) => line.trim().replaceAll(/\(\S+\.json\)/g, "(file)"));
  }
  assert.fail("no problem was reported");
}

test("nothing given is valid, and the core's defaults are the schema's", () => {
  const config = load({});
  assert.equal(config.host, "127.0.0.1");
  assert.equal(config.port, 9001);
  assert.deepEqual({ ...config.limits, ...DEFAULT_LIMITS }, config.limits);
  assert.deepEqual(config.defaults, DEFAULT_ROOM_SETTINGS);
  assert.match(config.node, /^[A-Za-z0-9._-]+-[0-9a-f]{6}$/);
  assert.notEqual(load({}).node, config.node);
});

test("flags win over environment, environment over file, file over defaults, key by key", () => {
  const config = load({
    file: {
      port: 1,
      host: "file",
      node: "file",
      namespaces: { a: { state: true, publish: "api" }, b: { ephemeral: true } },
    },
    env: { FANWIRE_PORT: "2", FANWIRE_HOST: "env", FANWIRE_NAMESPACES: '{"a":{"publish":"client"},"c":{}}' },
    argv: ["--port", "3"],
  });
  assert.equal(config.port, 3);
  assert.equal(config.host, "env");
  assert.equal(config.node, "file");
  assert.deepEqual(config.namespaces, {
    a: { state: true, publish: "client" },
    b: { ephemeral: true },
    c: {},
  });
});

test("every key has environment names and flags that set it to its default", () => {
  for (const { env, flags, node, path, defaultText } of CONFIG_ENTRIES) {
    const text =
      typeof node.default === "string" ? node.default : JSON.stringify(node.default ?? "some-node");
    const value = text.startsWith("[") ? text : text.replaceAll('"', "");
    for (const name of env) assert.ok(load({ env: { [name]: value } }), name);
    for (const flag of flags) assert.ok(load({ argv: [`--${flag}=${value}`] }), flag);
    assert.ok(configReference().includes(path.join(".")) && configMarkdown().includes(path.join(".")));
    assert.ok(defaultText !== "undefined", path.join("."));
  }
});

test("switches, lists and empty variables", () => {
  assert.equal(load({ argv: ["--demo"] }).demo, true);
  assert.equal(load({ argv: ["--no-demo"], env: { FANWIRE_DEMO: "true" } }).demo, false);
  assert.equal(load({ argv: ["--demo=false"], env: { FANWIRE_DEMO: "true" } }).demo, false);
  assert.equal(load({ env: { FANWIRE_PORT: "" } }).port, 9001);
  assert.equal(load({ env: { FANWIRE_LOG_PRETTY: "false" } }).log.pretty, false);
  const origins = ["https://a.example", "https://b.example:8443"];
  assert.deepEqual(load({ env: { FANWIRE_ORIGINS: origins.join(", ") } }).origins, origins);
  assert.deepEqual(load({ argv: origins.flatMap((origin) => ["--origins", origin]) }).origins, origins);
  assert.deepEqual(load({ env: { FANWIRE_ORIGINS: JSON.stringify(origins) } }).origins, origins);
  const keys = load({ env: { FANWIRE_API_KEY: `${KEY}1`, FANWIRE_API_KEYS: `${KEY}2,${KEY}3` } }).apiKeys;
  assert.deepEqual(new Set(keys), new Set([`${KEY}1`, `${KEY}2`, `${KEY}3`]));
});

test("all problems of all sources are reported at once, each with value, source and what is allowed", () => {
  const problems = problemsOf(() =>
    load({
      file: {
        prt: 1,
        limits: { buferBytes: 1, lowWatermarkBytes: 99_999, dataBytes: 99_999_999, pingMs: 121_000 },
        namespaces: { "a b": {}, chat: { histry: {} }, x: { state: true, ephemeral: true } },
        origins: ["https://a.example/", "*"],
      },
      env: { FANWIRE_PROT: "1", FANWIRE_LIMITS_DEPTH: "1e9" },
      argv: ["--demos", "value", "--log.level", "loud", "extra", "--port"],
    }),
  );
  assert.deepEqual(
    new Set(problems),
    new Set([
      "15 problems in the configuration:",
      "FANWIRE_PROT (environment FANWIRE_PROT): unknown; did you mean FANWIRE_PORT?",
      "--demos (flag --demos): unknown; did you mean --demo?",
      "extra (flag extra): not a flag; allowed are flags such as --port 9001",
      "--port (flag --port): needs a value; allowed is integer, 0 to 65535",
      'log.level = "loud" (flag --log.level): allowed is fatal | error | warn | info | debug | trace | silent',
      'limits.depth = "1e9" (environment FANWIRE_LIMITS_DEPTH): allowed is integer, 4 to 256',
      "limits.dataBytes = 99999999 (file): allowed is integer, 16 to 16777216",
      "limits.buferBytes (file): unknown key; did you mean limits.bufferBytes?",
      "limits.lowWatermarkBytes = 99999 (file): allowed is limits.bufferBytes (65536) less two chunks of 16000 bytes at the most",
      "limits.pingMs = 121000 (file): allowed is below limits.idleSeconds (120 s), or idle clients are cut off",
      "prt (file): unknown key; did you mean port?",
      'origins.0 = "https://a.example/" (file): allowed is an origin such as "https://app.example.com" (no path, no slash at the end), or "*" for any',
      "namespaces.a b (file): the name is not allowed; allowed is a room's first token: 1 to 128 of A-Z a-z 0-9 _ - :",
      "namespaces.chat.histry (file): unknown key; did you mean namespaces.chat.history?",
      "namespaces.x.state = true (file): allowed is false where ephemeral is true (say so where defaults.state is true)",
    ]),
  );
});

test("files that are missing, broken or no object say so", () => {
  assert.match(
    problemsOf(() => load({ argv: ["--config", "none"] }))[1] ?? "",
    /none\): cannot be read: ENOENT, named by flag --config/,
  );
  assert.match(
    problemsOf(() => load({ env: { FANWIRE_CONFIG: "none" } }))[1] ?? "",
    /ENOENT, named by environment FANWIRE_CONFIG/,
  );
  assert.match(
    problemsOf(() => load({ text: '{\n "port": 1,\n}' }))[1] ?? "",
    /is not JSON: .*, line 3 column 1$/,
  );
  assert.match(problemsOf(() => load({ text: "[]" }))[1] ?? "", /is not one JSON object/);
});

test("a file in the working directory is found, and its $schema is for editors", () => {
  writeFileSync(join(dir, "fanwire.config.json"), '\uFEFF{"$schema":"x","port":77}');
  assert.equal(loadConfig({ argv: [], env: {}, cwd: dir }).port, 77);
  rmSync(join(dir, "fanwire.config.json"));
});

test("secrets are in no message and not in what is shown", () => {
  const secret = "s3cret-that-nobody-may-read!";
  for (const run of [
    () => load({ env: { FANWIRE_API_KEY: secret } }),
    () => load({ argv: ["--api-keys", secret] }),
    () => load({ file: { apiKeys: secret } }),
    () => load({ file: { apiKeys: [{ a: secret }] } }),
    () => load({ file: { apiKey: secret } }),
    () => load({ text: `{"apiKeys": ["${secret}}` }),
    () => load({ text: `{"apiKeys": ${secret}}` }),
    () => createConfig({ apiKeys: [secret] }),
  ]) {
    const problems = problemsOf(run);
    assert.equal(problems.length, 2, problems.join("\n"));
    assert.doesNotMatch(problems.join("\n"), /s3cret/);
  }
  for (const broker of [`nats://${secret}@a`, `nats://u:${secret}@x@a,tls://v:${secret}@b`])
    assert.doesNotMatch(problemsOf(() => load({ argv: ["--broker", broker] })).join("\n"), /s3cret/);
  const shown = JSON.stringify(maskSecrets(createConfig({ apiKeys: [KEY, KEY] })));
  assert.ok(shown.includes('"apiKeys":["***","***"]') && !shown.includes(KEY));
});

test("names that objects inherit are names like any other, but for __proto__", () => {
  const config = load({
    text: '{"namespaces":{"constructor":{"state":true},"toString":{"history":{"messages":1}}}}',
  });
  const of = settingsOf(config);
  assert.equal(of(parseRoom("constructor.a")).state, true);
  assert.equal(of(parseRoom("toString")).history.messages, 1);
  assert.equal(of(parseRoom("valueOf")), config.defaults);
  assert.match(
    problemsOf(() => load({ text: '{"namespaces":{"__proto__":{"state":true}}}' }))[1] ?? "",
    /not allowed/,
  );
  assert.match(problemsOf(() => load({ text: '{"toString":1}' }))[1] ?? "", /unknown key/);
  assert.equal("state" in {}, false);
});

test("what Kubernetes says about a service named fanwire is no configuration", () => {
  const env = {
    FANWIRE_SERVICE_HOST: "10.0.0.1",
    FANWIRE_SERVICE_PORT: "80",
    FANWIRE_SERVICE_PORT_HTTP: "80",
    FANWIRE_PORT: "tcp://10.0.0.1:80",
    FANWIRE_PORT_80_TCP: "tcp://10.0.0.1:80",
    FANWIRE_PORT_80_TCP_PROTO: "tcp",
    FANWIRE_HUB_PORT: "tcp://10.0.0.1:80",
    FANWIRE_HUB_SERVICE_HOST: "10.0.0.1",
  };
  assert.equal(load({ env }).port, 9001);
});

test("checks between keys", () => {
  const cases: [Parameters<typeof createConfig>[0], RegExp][] = [
    [
      { limits: { bufferBytes: 49_152, lowWatermarkBytes: 17_153 } },
      /lowWatermarkBytes = 17153 \(option\): allowed is limits.bufferBytes/,
    ],
    [{ limits: { payloadBytes: 15_400 } }, /dataBytes = 15360 \(default\): allowed is at most 15128/],
    [{ limits: { bodyBytes: 1_000 } }, /dataBytes .* at most limits.bodyBytes \(1000\)/],
    [{ limits: { idleSeconds: 25 } }, /pingMs = 25000 .* below limits.idleSeconds/],
    [
      { limits: { dataBytes: 200_000, payloadBytes: 300_000 } },
      /dataBytes = 200000 \(option\).*below limits.bufferBytes/,
    ],
    [{ defaults: { state: true }, namespaces: { a: { ephemeral: true } } }, /namespaces.a.state/],
    [{ defaults: { state: true, ephemeral: true }, namespaces: { a: {} } }, /defaults.state/],
  ];
  for (const [input, expected] of cases) {
    const problems = problemsOf(() => createConfig(input));
    assert.match(problems[1] ?? "", expected);
    assert.equal(problems.length, 2, problems.join("\n"));
  }
});

test("no limit goes below what the client library counts on", () => {
  for (const [name, least] of Object.entries({ values: 500, elements: 4_096, payloadBytes: 1_024 })) {
    const [, problem = ""] = problemsOf(() => createConfig({ limits: { [name]: least - 1 } }));
    assert.match(problem, new RegExp(`${name} = .*allowed is integer, ${least} to`));
  }
  assert.ok(createConfig({ limits: { values: 500, elements: 4_096, payloadBytes: 1_024, dataBytes: 600 } }));
});

test("a check between keys is left out where one of them is wrong by itself", () => {
  const problems = problemsOf(() =>
    load({ file: { limits: { lowWatermarkBytes: 100_000, bufferBytes: "many" } } }),
  );
  assert.equal(problems.length, 2, problems.join("\n"));
});

test("an empty section takes nothing away from what is below it", () => {
  const namespaces = { a: { state: true } };
  assert.deepEqual(load({ file: { namespaces }, env: { FANWIRE_NAMESPACES: "{}" } }).namespaces, namespaces);
});

test("delivery classes: lists from the environment, a namespace's own, and a default class that is none of them", () => {
  const { defaults } = load({
    argv: ["--defaults.rate", "0.5"],
    env: { FANWIRE_DEFAULTS_RATES: "all, 10,0.5" },
  });
  assert.deepEqual([defaults.rates, defaults.rate], [["all", 10, 0.5], 0.5]);
  const of = settingsOf(createConfig({ namespaces: { board: { rates: [4, 1], rate: 4 } } }));
  assert.deepEqual([of(parseRoom("board.a")).rates, of(parseRoom("board.a")).rate], [[4, 1], 4]);
  assert.deepEqual(of(parseRoom("chat.a")).rates, ["all", 30, 10, 4, 1]);
  for (const [input, allowed] of [
    [{ defaults: { rate: 7 } }, /defaults.rate .*one of rates \(all, 30, 10, 4, 1\)/],
    [{ namespaces: { a: { rates: [4] } } }, /namespaces.a.rate .*one of rates \(4\)/],
    [{ namespaces: { a: { rates: [0] } } }, /namespaces.a.rates/],
    [{ namespaces: { a: { rates: [] } } }, /namespaces.a.rates/],
  ] as const)
    assert.throws(() => createConfig(input), allowed);
});

test("settings of a namespace fall back on the defaults, part by part", () => {
  const config = createConfig({
    defaults: { history: { seconds: 60 }, publish: "client" },
    namespaces: { chat: { history: { messages: 5 } }, cursors: { ephemeral: true } },
  });
  const of = settingsOf(config);
  assert.deepEqual(of(parseRoom("chat.lobby")), {
    ...DEFAULT_ROOM_SETTINGS,
    history: { messages: 5, seconds: 60 },
    publish: "client",
  });
  assert.equal(of(parseRoom("cursors")).ephemeral, true);
  assert.equal(of(parseRoom("chat.lobby")), of(parseRoom("chat.hall")));
  assert.equal(of(parseRoom("chatter")).history.messages, 1_000);
});

test("demo adds its namespaces below what is written", () => {
  const config = load({
    env: { FANWIRE_DEMO: "true" },
    file: { namespaces: { market: { history: { messages: 5 } } } },
  });
  assert.deepEqual(config.namespaces, {
    market: { state: true, ephemeral: false, publish: "api", history: { messages: 5, seconds: 300 } },
    host: { state: true, ephemeral: false, publish: "api", history: { messages: 3_000, seconds: 300 } },
    cursors: { state: false, ephemeral: true, publish: "client" },
  });
  assert.ok(createConfig({ demo: true, defaults: { ephemeral: true } }));
  assert.deepEqual(load({ env: { FANWIRE_DEMO: "true" }, argv: ["--no-demo"] }).namespaces, {});
});

test("the configuration is frozen all the way down", () => {
  const config = createConfig({ namespaces: { a: { history: { messages: 1 } } } });
  for (const part of [config, config.limits, config.origins, config.namespaces, config.namespaces.a?.history])
    assert.ok(Object.isFrozen(part));
  assert.ok(Object.isFrozen(settingsOf(config)(parseRoom("a")).history));
});

test("a number of processes is auto or a number, whoever says it", () => {
  assert.deepEqual([createConfig().workers, createConfig().hubs], ["auto", "auto"]);
  assert.equal(load({ env: { FANWIRE_WORKERS: "4" } }).workers, 4);
  assert.equal(load({ argv: ["--workers", "1", "--hubs", "0"] }).hubs, 0);
  assert.throws(() => load({ argv: ["--workers", "many"] }), /allowed is auto, or integer, 1 to 256/);
  assert.throws(() => load({ argv: ["--workers", "2", "--hubs", "0"] }), /only with workers 1/);
});

test("a problem with a section shows it without its secrets", () => {
  const secret = "a-secret-of-thirty-two-characters";
  const problems = problemsOf(() => createConfig({ auth: { secret, keyFile: "key.pem" } }));
  assert.match(problems.join(), /auth = .*key\.pem.*at most one of auth\.secret/);
  assert.doesNotMatch(problems.join(), /thirty-two/);
});

test("API keys are themselves or their digests, each name once", () => {
  const sha256 = "0".repeat(64);
  const apiKeys = ["0123456789abcdef", { name: "ci", sha256, rooms: [["chat.>", "p"]] }] as const;
  const config = createConfig({ apiKeys });
  assert.deepEqual(config.apiKeys[1], { name: "ci", sha256, rooms: [["chat.>", "p"]], admin: false });
  assert.deepEqual(load({ env: { FANWIRE_API_KEYS: JSON.stringify(apiKeys) } }).apiKeys, config.apiKeys);
  for (const wrong of [
    [{ name: "ci", sha256: "0" }],
    [{ name: "c i", sha256 }],
    [{ sha256 }],
    [{ name: "ci", sha256, rooms: [["a", "q"]] }],
    [
      { name: "ci", sha256 },
      { name: "ci", sha256 },
    ],
  ])
    assert.equal(
      problemsOf(() => load({ file: { apiKeys: wrong } })).length > 0,
      true,
      JSON.stringify(wrong),
    );
});
