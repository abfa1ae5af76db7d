import assert from "node:assert/strict";
import { test } from "node:test";
import { encode } from "@msgpack/msgpack";
import type { Position } from "../../protocol/frames.js";
import { parseRoom } from "../../protocol/room-name.js";
import { Collector } from "../conformance-rig.testkit.js";
import { NatsAdmin } from "./nats-admin.testkit.js";
import { freshPrefix, startTestBroker } from "./nats-broker.testkit.js";
import { NatsServer, until } from "./nats-server.testkit.js";

const DEADLINE_MS = 60_000;
/** Six seconds, in the server's words: some times what a loaded machine takes for a sweep. */
const AGE = 6_000_000_000;

test("a quiet room whose last message expires is given a newer position, which resumes on every node", async (t) => {
  const server = await NatsServer.start();
  t.after(() => server.dispose());
  const admin = await NatsAdmin.connect(server.url);
  t.after(() => admin.close());
  const prefix = freshPrefix();
  const options = { prefix, partitions: 1, limits: { sweepMs: 300 } };
  const here = await startTestBroker(server.url, options);
  t.after(() => here.stop(1_000));
  const stream = `${prefix.toUpperCase()}_0`;
  const { config } = await admin.api<{ config: object }>(`STREAM.INFO.${stream}`);
  await admin.api(`STREAM.UPDATE.${stream}`, { ...config, max_age: AGE, duplicate_window: AGE / 2 });
  const there = await startTestBroker(server.url, options);
  t.after(() => there.stop(1_000));
  const [quiet, busy] = [parseRoom("log.quiet"), parseRoom("log.busy")];
  const sink = new Collector(DEADLINE_MS);
  await here.open(quiet, sink);
  const { epoch, offset } = await here.publish({ room: quiet, data: encode("once") });
  await sink.until(1);
  let firstKept = 0;
  const last = (): Position => ({ epoch, offset: sink.checkpoints.at(-1) ?? 0 });
  await until(
    "the message has expired, and a position was told that has not",
    async () => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      await here.publish({ room: busy, data: encode("x") });
      const { state } = await admin.api<{ state: { first_seq: number } }>(`STREAM.INFO.${stream}`);
      firstKept = state.first_seq;
      return firstKept > offset + 1 && last().offset >= firstKept;
    },
    DEADLINE_MS,
  );
  for (const node of [here, there]) {
    const page = await node.history(quiet, { after: last() }, 10);
    assert.equal(page.kind, "page");
  }
  assert.equal((await there.history(quiet, { after: { epoch, offset } }, 10)).kind, "lost");
  const next = await there.publish({ room: quiet, data: encode("again") });
  assert.deepEqual(sink.resets, []);
  const [, message] = await sink.until(2);
  assert.deepEqual([message?.offset, message?.prev], [next.offset, offset]);
  assert.deepEqual(sink.resets, []);
});
