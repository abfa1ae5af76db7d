import assert from "node:assert/strict";
import { test } from "node:test";
import { encode } from "@msgpack/msgpack";
import type { Sink } from "../../core/ports.js";
import { dataOf, nil } from "../../protocol/message.js";
import { parseRoom } from "../../protocol/room-name.js";
import { HeldKeys } from "./held-keys.js";
import { HubKit, until } from "./hub.testkit.js";
import type { HubLink } from "./hub-link.js";

const ROOM = parseRoom("log.a");

/** What a room's keys came to, in order: `key` where it was moved, `-key` where it was taken out. */
class Seen implements Sink {
  readonly all: string[] = [];

  message(message: Parameters<Sink["message"]>[0]): void {
    this.all.push(`${dataOf(message)[0] === nil()[0] ? "-" : ""}${message.key}`);
  }

  reset(): void {}
}

const take = (link: HubLink, key: string) =>
  link.publish({ room: ROOM, data: encode(1), key, origin: "s", hold: "take" });
const release = (link: HubLink, key: string) =>
  link.publish({ room: ROOM, data: nil(), key, origin: "s", hold: "release" });

test("a key goes with the last worker that holds it, whether that says so or just ends", async () => {
  const kit = new HubKit();
  try {
    await kit.start();
    const [one, two, watcher] = [await kit.linked(), await kit.linked(), await kit.linked()];
    const seen = new Seen();
    await watcher.open(ROOM, seen);
    for (const link of [one, two]) for (const key of ["ada", "bob"]) await take(link, key);
    await take(one, "eve");
    await one.publish({ room: ROOM, data: encode(1), key: "desk" });
    assert.equal(kit.counters.heldKeys, 3);
    await release(one, "ada");
    await until(() => seen.all.length === 6);
    await one.stop(0);
    await until(() => seen.all.includes("-eve"));
    assert.deepEqual(seen.all.slice(6), ["-eve"], "ada and bob are held by the other, desk by nobody");
    await release(two, "ada");
    await two.stop(0);
    await until(() => seen.all.length === 9);
    assert.deepEqual(seen.all.slice(7), ["-ada", "-bob"]);
    await until(() => kit.counters.heldKeys === 0);
    assert.equal(kit.counters.keysRemoved, 2);
    assert.deepEqual(kit.errors, []);
  } finally {
    await kit.dispose();
  }
});

test("who takes his own key out does so whoever else holds it", async () => {
  const kit = new HubKit();
  try {
    await kit.start();
    const [one, two] = [await kit.linked(), await kit.linked()];
    const seen = new Seen();
    await two.open(ROOM, seen);
    await take(one, "ada");
    await take(two, "ada");
    await one.publish({ room: ROOM, data: nil(), key: "ada", origin: "s", hold: "take" });
    await until(() => seen.all.length === 3);
    assert.deepEqual(seen.all, ["ada", "ada", "-ada"]);
    assert.equal(kit.counters.heldKeys, 1, "the other holds it still");
  } finally {
    await kit.dispose();
  }
});

test("the keys of a worker with thousands go in portions, all of them", async () => {
  const kit = new HubKit();
  try {
    await kit.start();
    const [one, watcher] = [await kit.linked(), await kit.linked()];
    const seen = new Seen();
    await watcher.open(ROOM, seen);
    const keys = Array.from({ length: 1_200 }, (_, index) => `k${index}`);
    await Promise.all(keys.map((key) => take(one, key)));
    await until(() => seen.all.length === keys.length);
    await one.stop(0);
    await until(() => seen.all.length === 2 * keys.length);
    assert.deepEqual(
      seen.all.slice(keys.length),
      keys.map((key) => `-${key}`),
    );
    assert.deepEqual([kit.counters.heldKeys, kit.counters.keysRemoved], [0, keys.length]);
  } finally {
    await kit.dispose();
  }
});

test("above the bound keys are published and not known", () => {
  const keys = new HeldKeys<string>(1);
  const outgoing = { room: ROOM, data: encode(1), hold: "take" } as const;
  assert.equal(keys.note("w", { ...outgoing, key: "a" }), "publish");
  assert.equal(keys.note("w", { ...outgoing, key: "b" }), "untracked");
  assert.equal(keys.note("w", { ...outgoing, key: "b", data: nil(), hold: "release" }), "publish");
  assert.deepEqual(keys.leave("w"), [{ room: ROOM, key: "a", holders: new Set() }]);
  assert.deepEqual([keys.size, keys.leave("w")], [0, []]);
});
