import assert from "node:assert/strict";
import { decode } from "@msgpack/msgpack";
import type { Position } from "../protocol/frames.js";
import { dataOf, type Message } from "../protocol/message.js";
import {
  assertChain,
  at,
  type Check,
  HISTORY_MESSAGES,
  HISTORY_SECONDS,
  offsetsOf,
} from "./conformance-rig.testkit.js";

/** What can be read back, and what is told where it cannot. */
export function historyTests(check: Check): void {
  check("a room that was never used is empty, and can be followed from there", async (rig) => {
    const room = rig.room("log");
    for (const from of ["oldest", { last: 3 }] as const) {
      const page = await rig.page(room, from, 10);
      assert.deepEqual(page.messages, []);
      assert.equal(page.more, false);
      assert.equal(page.head.offset, 0);
    }
    const { head } = await rig.page(room, "oldest", 10);
    assert.deepEqual((await rig.page(room, { after: head }, 10)).messages, []);
    await rig.assertLost(room, { epoch: head.epoch, offset: 1 }, "epoch");
    const position = await rig.publish(room, "first");
    assert.deepEqual(offsetsOf((await rig.page(room, { after: head }, 10)).messages), [position.offset]);
  });

  check("history is what flowed, as soon as the publish has resolved", async (rig) => {
    const room = rig.room("log");
    const sink = rig.collector();
    await rig.broker.open(room, sink);
    for (let index = 0; index < 5; index += 1) {
      const position = await rig.publish(room, index, { key: `k${index}`, origin: "o" });
      const page = await rig.page(room, { last: 1 }, 10);
      assert.deepEqual(page.head, position);
      assert.deepEqual(offsetsOf(page.messages), [position.offset]);
    }
    const live = await sink.until(5);
    const stored = (await rig.page(room, "oldest", 100)).messages;
    assert.deepEqual(stored.map(plain), live.map(plain));
  });

  check("history is bounded by count, oldest first, and says so exactly", async (rig) => {
    const room = rig.room("log");
    const positions = await rig.publishMany(room, HISTORY_MESSAGES + 5);
    const page = await rig.page(room, "oldest", 100);
    const kept = positions.slice(5);
    assert.deepEqual(offsetsOf(page.messages), offsetsOf(kept));
    assertChain(page.messages, at(positions, 4).offset);
    assert.equal(page.more, false);
    assert.deepEqual(page.head, at(positions, -1));
    // Whoever saw the last message that was dropped misses nothing; one earlier does.
    const edge = await rig.page(room, { after: at(positions, 4) }, 100);
    assert.deepEqual(offsetsOf(edge.messages), offsetsOf(kept));
    await rig.assertLost(room, at(positions, 3), "expired");
    await rig.assertLost(room, { epoch: page.head.epoch, offset: 0 }, "expired");
  });

  check("position 0 is the very beginning", async (rig) => {
    const room = rig.room("log");
    const positions = await rig.publishMany(room, HISTORY_MESSAGES);
    const beginning: Position = { epoch: at(positions, 0).epoch, offset: 0 };
    const page = await rig.page(room, { after: beginning }, 100);
    assert.deepEqual(offsetsOf(page.messages), offsetsOf(positions));
    await rig.publish(room, "one too many");
    await rig.assertLost(room, beginning, "expired");
  });

  check("after a position comes exactly what follows it", async (rig) => {
    const room = rig.room("log");
    const positions = await rig.publishMany(room, HISTORY_MESSAGES);
    for (const [index, after] of positions.entries()) {
      const page = await rig.page(room, { after }, 100);
      assert.deepEqual(offsetsOf(page.messages), offsetsOf(positions.slice(index + 1)));
      assertChain(page.messages, after.offset);
      assert.equal(page.more, false);
      assert.deepEqual(page.head, at(positions, -1));
    }
  });

  check("pages join without gap or double, and `more` is true only before the last", async (rig) => {
    const room = rig.room("log");
    const positions = await rig.publishMany(room, HISTORY_MESSAGES);
    for (const limit of [1, 3, 5, HISTORY_MESSAGES - 1, HISTORY_MESSAGES, HISTORY_MESSAGES + 1]) {
      let after: Position = { epoch: at(positions, 0).epoch, offset: 0 };
      const joined: Message[] = [];
      for (let more = true; more; ) {
        const page = await rig.page(room, { after }, limit);
        assert.ok(page.messages.length <= limit);
        joined.push(...page.messages);
        more = page.more;
        assert.equal(more, joined.length < HISTORY_MESSAGES, `more after ${joined.length}, limit ${limit}`);
        after = { epoch: page.head.epoch, offset: at(page.messages, -1).offset };
      }
      assert.deepEqual(offsetsOf(joined), offsetsOf(positions));
    }
  });

  check("the last n begin n before the head, and page on like any other", async (rig) => {
    const room = rig.room("log");
    const positions = await rig.publishMany(room, HISTORY_MESSAGES + 2);
    for (const last of [0, 1, 4, HISTORY_MESSAGES, HISTORY_MESSAGES + 2]) {
      const page = await rig.page(room, { last }, 100);
      const expected = last === 0 ? [] : positions.slice(2).slice(-last);
      assert.deepEqual(offsetsOf(page.messages), offsetsOf(expected), `last ${last}`);
      assert.equal(page.more, false);
      assert.deepEqual(page.head, at(positions, -1));
    }
    const page = await rig.page(room, { last: 5 }, 2);
    assert.deepEqual(offsetsOf(page.messages), offsetsOf(positions.slice(-5, -3)));
    assert.equal(page.more, true);
    const oldest = await rig.page(room, "oldest", 2);
    assert.deepEqual(offsetsOf(oldest.messages), offsetsOf(positions.slice(2, 4)));
    assert.equal(oldest.more, true);
  });

  check("a position of another epoch, or one that was never reached, is told as lost", async (rig) => {
    const room = rig.room("log");
    const { epoch, offset } = at(await rig.publishMany(room, 3), -1);
    await rig.assertLost(room, { epoch: `${epoch}x`, offset }, "epoch");
    await rig.assertLost(room, { epoch: "", offset: 0 }, "epoch");
    await rig.assertLost(room, { epoch, offset: offset + 1 }, "epoch");
    const page = await rig.broker.history(room, { after: { epoch: "other", offset: 1 } }, 10);
    assert.deepEqual(page.head, { epoch, offset });
  });

  check("a room numbered anew has a new epoch, and old positions are lost", async (rig, t) => {
    if (rig.fixture.renew === undefined) return t.skip("the fixture cannot renew a room");
    const room = rig.room("keyed");
    const old = await rig.publish(room, "old", { key: "k" });
    await rig.fixture.renew(room);
    await rig.assertLost(room, old, "epoch");
    const sink = rig.collector();
    const start = await rig.broker.open(room, sink);
    assert.notEqual(start.epoch, old.epoch);
    await rig.publish(room, "new", { key: "k" });
    assertChain(await sink.until(1), start.offset);
    await rig.assertLost(room, old, "epoch");
    await rig.assertLost(room, { epoch: old.epoch, offset: 0 }, "epoch");
    const { messages } = await rig.broker.state(room);
    assert.deepEqual(
      messages.map((message) => decode(dataOf(message))),
      ["new"],
    );
  });

  ageTests(check);
}

function ageTests(check: Check): void {
  check("history is bounded by age", async (rig, t) => {
    const { advanceMs } = rig.fixture;
    if (advanceMs === undefined) return t.skip("the fixture cannot move time");
    const room = rig.room("log");
    const early = await rig.publishMany(room, 2);
    await advanceMs(HISTORY_SECONDS * 600);
    const late = await rig.publishMany(room, 2);
    assert.equal((await rig.page(room, "oldest", 10)).messages.length, 4);
    await advanceMs(HISTORY_SECONDS * 600);
    for (const from of ["oldest", { last: 10 }, { after: at(early, 1) }] as const)
      assert.deepEqual(offsetsOf((await rig.page(room, from, 10)).messages), offsetsOf(late));
    await rig.assertLost(room, at(early, 0), "expired");
  });

  check(
    "when all has expired, only the head's position is complete, and numbering goes on",
    async (rig, t) => {
      const { advanceMs } = rig.fixture;
      if (advanceMs === undefined) return t.skip("the fixture cannot move time");
      const room = rig.room("log");
      const positions = await rig.publishMany(room, 3);
      await advanceMs(HISTORY_SECONDS * 1_000 + 1_000);
      const last = at(positions, -1);
      for (const from of ["oldest", { last: 10 }, { after: last }] as const)
        assert.deepEqual(await rig.page(room, from, 10), {
          kind: "page",
          messages: [],
          more: false,
          head: last,
        });
      await rig.assertLost(room, at(positions, 1), "expired");
      await rig.assertLost(room, { epoch: last.epoch, offset: 0 }, "expired");
      const sink = rig.collector();
      assert.deepEqual(await rig.broker.open(room, sink), last);
      const next = await rig.publish(room, "next");
      assert.equal(next.epoch, last.epoch);
      assertChain(await sink.until(1), last.offset);
      assert.deepEqual(offsetsOf((await rig.page(room, { after: last }, 10)).messages), [next.offset]);
      await rig.assertLost(room, at(positions, 1), "expired");
    },
  );
}

function plain({ room, offset, prev, time, key, origin, frame }: Message): unknown {
  return { room, offset, prev, time, key, origin, frame: Buffer.from(frame).toString("hex") };
}
