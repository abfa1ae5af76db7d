import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRoom } from "../protocol/room-name.js";
import { type ConfigInput, createConfig, settingsOf } from "./config.js";
import { withDemoNamespaces } from "./demo.js";

function settings(room: string, namespaces: ConfigInput["namespaces"] = {}) {
  return settingsOf(withDemoNamespaces(createConfig({ namespaces })))(parseRoom(room));
}

test("the demo keeps the feed's state and lets visitors publish their cursors only", () => {
  assert.equal(settings("market.fx").state, true);
  assert.equal(settings("market.fx").publish, "api");
  assert.equal(settings("host.cpu").state, true);
  assert.deepEqual(
    [settings("cursors.lobby").ephemeral, settings("cursors.lobby").publish],
    [true, "client"],
  );
  assert.equal(settings("other.a").publish, "api");
});

test("what the configuration says about a demo namespace stays", () => {
  const history = { messages: 5, seconds: 6 };
  assert.deepEqual(settings("market.fx", { market: { history } }).history, history);
  assert.equal(settings("market.fx", { market: { history } }).state, true);
  assert.equal(settings("cursors.a", { cursors: { publish: "api" } }).publish, "api");
  assert.equal(settings("chat.a", { chat: { publish: "client" } }).publish, "client");
});

test("a choice that excludes ours leaves nothing of ours", () => {
  const market = settings("market.fx", { market: { ephemeral: true } });
  assert.deepEqual([market.ephemeral, market.state], [true, false]);
});
