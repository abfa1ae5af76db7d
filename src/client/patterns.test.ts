import assert from "node:assert/strict";
import { test } from "node:test";
import { WebSocket } from "ws";
import { eventually, startRig } from "../server/gateway-rig.testkit.js";
import { Rig } from "./connection.testkit.js";
import { open } from "./fake-socket.testkit.js";
import { Client, FanwireError, type Subscription } from "./index.js";
import { TcpProxy } from "./tcp-proxy.testkit.js";

/** Everything a subscription told: rooms with their data, and resets. */
function told(subscription: Subscription): string[] {
  const list: string[] = [];
  subscription.on("message", ({ room, data }) => list.push(`${room} ${data}`));
  subscription.on("reset", ({ reason }) => list.push(`reset ${reason}`));
  return list;
}

const isLive = (subscription: Subscription): boolean => subscription.state.kind === "live";

test("a pattern brings the rooms that it means, each message once, and tells what a cut may have cost", async (t) => {
  const rig = await startRig(t, { namespaces: { telemetry: { publish: "client" } } });
  const proxy = await TcpProxy.start(t, rig.port);
  const make = (port: number): Client => {
    const made = new Client(`ws://127.0.0.1:${port}/ws`, { WebSocket, backoffBaseMs: 20 });
    t.after(() => made.close());
    return made;
  };
  const [client, publisher] = [make(proxy.port), make(rig.port)];
  const [all, temps] = [client.subscribe<number>("telemetry.>"), client.subscribe("telemetry.*.temp")];
  const own = client.subscribe<number>("telemetry.b.temp");
  const [allTold, tempsTold, ownTold] = [told(all), told(temps), told(own)];
  await eventually(() => [all, temps, own].every(isLive), "all are live");
  const publish = async (data: number): Promise<void> => {
    for (const room of ["telemetry.a.temp", "telemetry.a", "telemetry.b.temp"])
      await publisher.publish(room, data);
    await publisher.publish("other.a.temp", data);
  };
  await publish(1);
  await eventually(() => allTold.length === 2 && tempsTold.length === 1 && ownTold.length === 1, "the first");
  // While it is away something is missed; a room by its name gets it all the same.
  proxy.cut();
  await publish(2);
  await eventually(() => [all, temps, own].every(isLive) && ownTold.length === 2, "all are live again");
  own.unsubscribe();
  // What follows its unsubscribe comes by the patterns, from the answer on.
  await client.ping();
  await publish(3);
  await eventually(() => allTold.at(-1) === "telemetry.b.temp 3", "what comes after");
  const once = allTold.filter((line) => !line.startsWith("reset") && !line.endsWith(" 2"));
  assert.deepEqual(once, [
    "telemetry.a.temp 1",
    "telemetry.a 1",
    "telemetry.a.temp 3",
    "telemetry.a 3",
    "telemetry.b.temp 3",
  ]);
  assert.ok(
    allTold.indexOf("reset expired") > 1 &&
      allTold.indexOf("reset expired") < allTold.indexOf("telemetry.a.temp 3"),
  );
  assert.deepEqual(
    tempsTold.filter((line) => !line.endsWith(" 2")),
    ["telemetry.a.temp 1", "reset expired", "telemetry.a.temp 3", "telemetry.b.temp 3"],
  );
  assert.deepEqual(ownTold, ["telemetry.b.temp 1", "telemetry.b.temp 2"]);
  assert.equal(all.position, undefined);
});

test("options that a pattern cannot have are refused at once, with what to do instead", () => {
  const { client } = open();
  const refused = (run: () => unknown): void => {
    assert.throws(
      run,
      (cause) =>
        cause instanceof FanwireError && cause.code === "bad_request" && /by their names/.test(cause.message),
    );
  };
  for (const options of [
    { last: 0 },
    { after: { epoch: "e", offset: 1 } },
    { state: true },
    { rate: 5 },
    { echo: false },
    { members: true },
    { info: 1 },
  ])
    refused(() => client.subscribe("a.*", options));
  refused(() => client.stateMap("a.*"));
  const subscription = client.subscribe("a.*", { rate: "all", echo: true });
  refused(() => subscription.setRate(5));
  for (const raw of ["a.*b", ">.a", "a..*"])
    assert.throws(
      () => client.subscribe(raw),
      (cause) => cause instanceof FanwireError && cause.code === "room_invalid",
    );
  client.close();
});

const NO_POSITION = { epoch: "", offset: 0, recovered: false };

function rigWith(pattern: string): { rig: Rig; id: number } {
  const rig = new Rig().open();
  const id = rig.subscribe(pattern);
  const { type, pattern: sent, ref } = rig.sentOne("subscribePattern");
  assert.deepEqual([type, sent], ["subscribePattern", pattern]);
  rig.message("a.x", 1);
  rig.ok(ref, NO_POSITION);
  return { rig, id };
}

test("messages count from the answer on, in rooms that the pattern means and that are not had by name", () => {
  const { rig, id } = rigWith("a.*");
  rig.message("a.x", 7, 3);
  rig.message("b.x", 8);
  const room = rig.subscribe("a.x");
  // Not taken yet: it still comes by the pattern.
  const { ref } = rig.sentOne("subscribe");
  rig.message("a.x", 8);
  rig.ok(ref, { epoch: "e", offset: 8, recovered: false });
  rig.message("a.x", 9);
  assert.deepEqual([rig.delivered(id), rig.delivered(room)], [[7, 8], [9]]);
  rig.step({ kind: "unsubscribe", id: room });
  const left = rig.sentOne("unsubscribe");
  assert.ok(left.ref > 0);
  // Sent by name before the server heard of it.
  rig.message("a.x", 10);
  rig.ok(left.ref);
  rig.message("a.x", 11);
  assert.deepEqual([rig.delivered(id), rig.delivered(room)], [[7, 8, 11], [9]]);
});

test("what is asked for again by name is not taken for a pattern's meanwhile, unless it was refused", () => {
  const { rig, id } = rigWith("a.>");
  const room = rig.live1("a.x", 5);
  rig.message("a.x", 9, 7);
  const { ref } = rig.sentOne("subscribe");
  rig.message("a.x", 10, 9);
  assert.deepEqual(rig.delivered(id), []);
  rig.receive({ type: "error", ref, code: "forbidden", text: "no", retryMs: undefined });
  rig.message("a.x", 11, 10);
  assert.deepEqual([rig.delivered(id), rig.delivered(room)], [[11], []]);
});

test("lagged, a lost connection and the server's word each tell that messages may be missing", () => {
  const { rig, id } = rigWith("a.>");
  rig.message("a.x", 1);
  rig.receive({ type: "patternReset", pattern: "a.>", reason: "expired" });
  rig.message("a.x", 3);
  rig.receive({ type: "lagged" });
  rig.message("a.x", 4);
  rig.ok(rig.sentOne("subscribePattern").ref, NO_POSITION);
  rig.message("a.x", 5);
  rig.closed();
  rig.advance(60_000);
  rig.welcome();
  rig.ok(rig.sentOne("subscribePattern").ref, NO_POSITION);
  rig.message("a.x", 6);
  assert.deepEqual(rig.delivered(id), [1, "reset", 3, "reset", 5, "reset", 6]);
  const resets = rig.events(id).flatMap((event) => (event.kind === "message" ? [event.message.reset] : []));
  assert.deepEqual(resets, [undefined, "expired", "expired", "expired"]);
});

test("a pattern that the server ends is over, or is asked for again where it says so", () => {
  const { rig, id } = rigWith("a.>");
  rig.receive({ type: "patternEnded", pattern: "a.>", code: "unavailable", text: "too many", retryMs: 200 });
  rig.advance(300);
  rig.ok(rig.sentOne("subscribePattern").ref, NO_POSITION);
  rig.message("a.x", 1);
  rig.receive({ type: "patternEnded", pattern: "a.>", code: "forbidden", text: "no", retryMs: undefined });
  rig.message("a.x", 2);
  assert.deepEqual(rig.delivered(id), ["reset", 1]);
  const states = rig.events(id).flatMap((event) => (event.kind === "state" ? [event.state.kind] : []));
  assert.equal(states.at(-1), "failed");
  rig.step({ kind: "unsubscribe", id });
  assert.deepEqual(rig.sent(), []);
});
