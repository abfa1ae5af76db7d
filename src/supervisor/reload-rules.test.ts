import assert from "node:assert/strict";
import { test } from "node:test";
import { type ConfigInput, createConfig } from "../server/config.js";
import { whyNotReloadable } from "./reload-rules.js";

const why = (now: ConfigInput, next: ConfigInput): string | undefined =>
  whyNotReloadable(createConfig(now), createConfig(next));

test("what belongs to workers changes without a restart", () => {
  assert.equal(why({}, {}), undefined);
  const next: ConfigInput = {
    apiKeys: ["0123456789abcdef"],
    origins: ["*"],
    limits: { connections: 5, bufferBytes: 100_000 },
    drainSeconds: 1,
    defaults: { publish: "client", rates: ["all", 5], slow: "keep" },
    namespaces: {
      chat: { publish: "client", anonymous: "s" },
      board: { key: "sender", rates: [5], rate: 5 },
    },
  };
  assert.equal(why({ namespaces: { news: { publish: "api" } } }, next), undefined);
});

test("all that needs a restart is named at once", () => {
  assert.equal(
    why({}, { port: 1, workers: 3, memory: { rooms: 5 }, namespaces: { chat: { state: true } } }),
    "a restart is needed to change port, workers, memory, history, state, stateSeconds or ephemeral of a namespace or of defaults",
  );
  for (const settings of [
    { history: { seconds: 9 } },
    { state: true, stateSeconds: 9 },
    { ephemeral: true },
  ]) {
    assert.match(why({}, { defaults: settings }) ?? "", /history, state, stateSeconds or ephemeral/);
    assert.match(why({}, { namespaces: { chat: settings } }) ?? "", /of a namespace/);
  }
  assert.match(why({}, { auth: { revocationsFile: "void" } }) ?? "", /auth\.revocationsFile/);
  const nats = { broker: "nats://127.0.0.1:4222" };
  const tokens = { auth: { secret: "0123456789abcdef0123456789abcdef" } };
  assert.match(why(nats, { ...nats, ...tokens }) ?? "", /with NATS whether tokens are used/);
  assert.equal(why({}, tokens), undefined);
  const presence: ConfigInput = { namespaces: { lobby: { presence: "members" } } };
  assert.match(why(nats, { ...nats, ...presence }) ?? "", /with NATS whether any namespace has presence/);
  assert.equal(why({}, presence), undefined);
  assert.match(why({}, { limits: { presenceMembers: 7 } }) ?? "", /limits\.presenceMembers/);
});

test("with NATS, whose a key is needs a restart, as nodes take out the keys of one that is gone", () => {
  const broker = "nats://127.0.0.1:4222";
  const change: ConfigInput = { namespaces: { board: { key: "sender" } } };
  assert.equal(why({}, change), undefined);
  assert.match(why({ broker }, { broker, ...change }) ?? "", /with NATS key of a namespace/);
  assert.equal(why({ broker }, { broker, namespaces: { board: { rates: ["all", 5] } } }), undefined);
});
