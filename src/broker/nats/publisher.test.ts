import assert from "node:assert/strict";
import { test } from "node:test";
import { type Msg, MsgImpl } from "@nats-io/transport-node";
import { CodedError } from "../../protocol/errors.js";
import type { NatsLink } from "./connection.js";
import { DEFAULT_NATS_LIMITS } from "./limits.js";
import { createNatsCounters } from "./nats-counters.js";
import { Publisher } from "./publisher.js";

/** A publisher whose server is the test. */
class Rig {
  readonly replies: string[] = [];
  readonly publisher: Publisher;
  #take: (cause: Error | null, reply: Msg) => void = () => undefined;

  constructor() {
    const connection = {
      subscribe: (_subject: string, options: { callback: (cause: Error | null, reply: Msg) => void }) => {
        this.#take = options.callback;
      },
      publish: (_subject: string, _data: Uint8Array, { reply }: { reply: string }) =>
        this.replies.push(reply),
    };
    const link = { connection, inboxPrefix: undefined } as unknown as NatsLink;
    this.publisher = new Publisher(link, DEFAULT_NATS_LIMITS, createNatsCounters(), Date.now);
  }

  publish(): ReturnType<Publisher["publish"]> {
    const bytes = Uint8Array.of(1);
    return this.publisher.publish({ subject: "fw.in.0.a", headers: bytes, data: bytes, stream: "FW_0" });
  }

  /** What the server says to a subject, in front of and behind which other bytes lie in memory. */
  answer(subject: string, text: string, headers = ""): void {
    const around = Buffer.from(`9"seq":7${headers}${text}"seq":8`);
    const body = around.subarray(8, 8 + headers.length + text.length);
    const message = { subject: Buffer.from(subject), hdr: headers.length || -1, size: body.length, sid: 1 };
    this.#take(null, new MsgImpl(message, body, undefined as never) as Msg);
  }
}

test("the answer says under which number a message is stored, and whether it was before", async (t) => {
  const rig = new Rig();
  t.after(() => rig.publisher.stop(0));
  const answers: readonly (readonly [string, number, boolean])[] = [
    ['{"stream":"FW_0", "seq":1}', 1, false],
    ['{"stream":"FW_0", "seq": 9007199254740991}', 9_007_199_254_740_991, false],
    ['{"stream":"FW_0","domain":"seq","seq":12,"duplicate": true}', 12, true],
    ['{"stream":"FW_0","seq":12,"duplicate":true}', 12, true],
    ['{"stream":"FW_0","seq":3,"duplicate": false}', 3, false],
  ];
  for (const [text, sequence, isDuplicate] of answers) {
    const stored = rig.publish();
    rig.answer(rig.replies.at(-1) ?? "", text);
    assert.deepEqual(await stored, { sequence, isDuplicate }, text);
  }
});

test("each answer goes to the publish that it names, however many are on their way", async (t) => {
  const rig = new Rig();
  t.after(() => rig.publisher.stop(0));
  const stored = Array.from({ length: 2_000 }, () => rig.publish());
  for (const [index, reply] of rig.replies.entries())
    rig.answer(reply, `{"stream":"FW_0","seq":${index + 1}}`);
  const sequences = (await Promise.all(stored)).map(({ sequence }) => sequence);
  assert.deepEqual(
    sequences,
    sequences.map((_, index) => index + 1),
  );
});

test("what is no acknowledgement stores nothing: errors, no responders, nonsense, other subjects", async (t) => {
  const rig = new Rig();
  t.after(() => rig.publisher.stop(0));
  const one = rig.publish();
  const reply = rig.replies[0] ?? "";
  const cut = reply.lastIndexOf(".");
  rig.answer(`${reply.slice(0, cut)}.zz`, '{"seq":4}');
  rig.answer(`${reply.slice(0, cut)}.-1`, '{"seq":4}');
  rig.answer(reply.slice(0, cut), '{"seq":4}');
  rig.answer(reply, '{"error":{"code":503,"err_code":10008,"description":"x"},"stream":"FW_0","seq":0}');
  rig.answer(reply, "", "NATS/1.0 503\r\n\r\n");
  rig.answer(reply, '{"stream":"FW_0","seq":}');
  rig.answer(reply, '"seq"');
  rig.answer(reply, '{"seq":99999999999999999999}');
  assert.equal(rig.publisher.pending, 1);
  // Still it may have been stored: the answer to the next try says so, or to the first.
  rig.answer(reply, '{"stream":"FW_0","seq":5}');
  assert.equal((await one).sequence, 5);
});

test("a message that the stream finds too large is refused for good", async (t) => {
  const rig = new Rig();
  t.after(() => rig.publisher.stop(0));
  const large = rig.publish();
  rig.answer(
    rig.replies[0] ?? "",
    '{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"}}',
  );
  await assert.rejects(large, (error) => error instanceof CodedError && error.code === "too_large");
});
