import assert from "node:assert/strict";
import { test } from "node:test";
import { encode } from "@msgpack/msgpack";
import { parseRoom } from "../../protocol/room-name.js";
import { HubKit, until } from "./hub.testkit.js";
import { RawPeer } from "./raw-peer.testkit.js";
import { RECORD } from "./record.js";

const ROOM = parseRoom("log.a");

test("a worker that asks for much and does not read holds no more than a few pages at the hub", async () => {
  const kit = new HubKit({ limits: { reads: 4 } });
  try {
    await kit.start();
    for (let index = 0; index < 10; index += 1)
      await kit.broker.publish({ room: ROOM, data: encode(new Uint8Array(100_000)) });
    const asked = 100;
    const greedy = await RawPeer.connect(kit.path);
    for (let ref = 1; ref <= asked; ref += 1)
      greedy.send({ type: "history", ref, room: ROOM, from: "oldest", limit: 100 });
    await until(() => kit.counters.recordsIn === asked + 1);
    // A page of a megabyte fills the watermark. Other links are served meanwhile.
    const other = await kit.linked();
    for (let index = 0; index < 50; index += 1) await other.state(ROOM);
    assert.ok(kit.counters.historyReads <= 50 + 4 + 4, `${kit.counters.historyReads} reads`);
    assert.ok(kit.hub.waitingBytes < 2_000_000, `${kit.hub.waitingBytes} bytes`);
    greedy.read();
    await until(() => greedy.received(RECORD.page) === asked);
    assert.equal(greedy.received(RECORD.pageMessage), 10 * asked);
  } finally {
    await kit.dispose();
  }
});

test("pages that wait for a worker that does not read are held within a bound, and read again when it does", async () => {
  const kit = new HubKit({ limits: { bufferBytes: 2_097_152 } });
  try {
    await kit.start();
    for (let index = 0; index < 10; index += 1)
      await kit.broker.publish({ room: ROOM, data: encode(new Uint8Array(100_000)) });
    const asked = 40;
    const greedy = await RawPeer.connect(kit.path);
    for (let ref = 1; ref <= asked; ref += 1)
      greedy.send({ type: "history", ref, room: ROOM, from: "oldest", limit: 100 });
    await until(() => kit.counters.historyReads >= asked);
    greedy.read();
    await until(() => greedy.received(RECORD.page) === asked);
    assert.equal(greedy.received(RECORD.pageMessage), 10 * asked);
    assert.ok(kit.counters.historyReads > asked, `${kit.counters.historyReads} reads`);
  } finally {
    await kit.dispose();
  }
});

test("a worker that publishes and does not read its answers is not read either, until it does", async () => {
  const kit = new HubKit({ limits: { bufferBytes: 65_536 } });
  try {
    await kit.start();
    const count = 100_000;
    const deaf = await RawPeer.connect(kit.path);
    for (let ref = 1; ref <= count; ref += 1)
      deaf.send({ type: "publish", ref, outgoing: { room: ROOM, data: Uint8Array.of(1) } });
    await until(() => kit.hub.waitingBytes > 2 * 65_536);
    const other = await kit.linked();
    for (let index = 0; index < 50; index += 1) await other.state(ROOM);
    assert.ok(kit.counters.published < count / 2, `${kit.counters.published} published`);
    // What was read at once, and its answers.
    assert.ok(kit.hub.waitingBytes < 1_000_000, `${kit.hub.waitingBytes} bytes`);
    deaf.read();
    await until(() => deaf.received(RECORD.published) + deaf.received(RECORD.failed) === count);
    assert.equal(deaf.received(RECORD.failed), 0);
  } finally {
    await kit.dispose();
  }
});
