import assert from "node:assert/strict";
import { readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { encode } from "@msgpack/msgpack";
import { CodedError } from "../../protocol/errors.js";
import { parseRoom } from "../../protocol/room-name.js";
import { Collector } from "../conformance-rig.testkit.js";
import { startHub } from "./hub.js";
import { DEADLINE_MS, HubKit, until } from "./hub.testkit.js";

const ROOM = parseRoom("log.a");

test("only this user may connect", async () => {
  const kit = new HubKit();
  try {
    await kit.start();
    assert.equal(statSync(kit.path).mode & 0o777, 0o600);
  } finally {
    await kit.dispose();
  }
});

test("the socket of a hub that was killed is replaced; a living one, a file or a long path is an error", async () => {
  const kit = new HubKit();
  const other = new HubKit();
  try {
    await other.start();
    // Closing unlinks the path it knows, so this one stays, with nobody behind it.
    renameSync(other.path, kit.path);
    await other.stop();
    assert.ok(statSync(kit.path).isSocket());
    await kit.start();
    await kit.linked();
    await assert.rejects(
      startHub({ limits: kit.limits, broker: kit.broker, socketPath: kit.path }),
      /another process/,
    );
    await kit.linked();
    const file = kit.folder.at("file");
    writeFileSync(file, "precious");
    await assert.rejects(startHub({ limits: kit.limits, broker: kit.broker, socketPath: file }), /is a file/);
    assert.equal(readFileSync(file, "utf8"), "precious");
    const long = kit.folder.at("x".repeat(100));
    await assert.rejects(startHub({ limits: kit.limits, broker: kit.broker, socketPath: long }), /takes 107/);
  } finally {
    await kit.dispose();
    await other.dispose();
  }
});

test("while the hub is away rooms stay open, all else is refused; a new one is a new epoch, told once", async () => {
  const kit = new HubKit();
  try {
    await kit.start();
    const status: boolean[] = [];
    const link = await kit.linked({ onStatus: (linked) => status.push(linked) });
    const sink = new Collector(DEADLINE_MS);
    const head = await link.open(ROOM, sink);
    await link.publish({ room: ROOM, data: encode(1) });
    await sink.until(1);
    await kit.stop();
    await until(() => !link.linked);
    for (const refused of [
      link.publish({ room: ROOM, data: encode(2) }),
      link.open(parseRoom("log.b"), sink),
      link.history(ROOM, "oldest", 10),
      link.state(ROOM),
    ])
      await assert.rejects(refused, (cause) => cause instanceof CodedError && cause.code === "unavailable");
    await assert.rejects(link.ready(50), /away/);
    await kit.start();
    await link.ready(DEADLINE_MS);
    await until(() => sink.resets.length > 0);
    const position = await link.publish({ room: ROOM, data: encode(3) });
    await sink.until(2);
    assert.notEqual(position.epoch, head.epoch);
    assert.deepEqual(sink.resets, [
      { room: ROOM, head: { epoch: position.epoch, offset: 0 }, reason: "epoch" },
    ]);
    assert.deepEqual(status, [true, false, true]);
    assert.deepEqual(kit.errors, []);
  } finally {
    await kit.dispose();
  }
});
