import assert from "node:assert/strict";
import { test } from "node:test";
import { type Msg, MsgImpl } from "@nats-io/transport-node";
import { CodedError } from "../../protocol/errors.js";
import type { NatsLink } from "./connection.js";
import { DEFAULT_NATS_LIMITS } from "./limits.js";
import { createNatsCounters } from "./nats-counters.js";
import { Publisher } from "./publisher.js";

const HEADERS = "NATS/1.0\r\nFw: a;;\r\n\r\n";

/** A publisher whose server is the test. */
class Rig {
  readonly commands: string[] = [];
  readonly publisher: Publisher;
  #whenSent: (() => void) | undefined;
  #take: (cause: Error | null, reply: Msg) => void = () => undefined;

  constructor() {
    const connection = {
      subscribe: (_subject: string, options: { callback: (cause: Error | null, reply: Msg) => void }) => {
        this.#take = options.callback;
      },
    };
    const send = (command: Uint8Array): void => {
      this.commands.push(Buffer.from(command).toString("latin1"));
      this.#whenSent?.();
    };
    const payloadBytesMax = 1_000;
    const link = { connection, send, payloadBytesMax, inboxPrefix: undefined } as unknown as NatsLink;
    this.publisher = new Publisher(link, DEFAULT_NATS_LIMITS, createNatsCounters(), Date.now);
  }

  publish(data = Uint8Array.of(0x31)): ReturnType<Publisher["publish"]> {
    const stored = this.publisher.publish({ subject: "fw.in.0.a", headers: HEADERS, data, stream: "FW_0" });
    stored.catch(() => {});
    return stored;
  }

  /** The subjects that answers to so many publishes go to. */
  async replies(count: number): Promise<string[]> {
    while (this.commands.length < count)
      await new Promise<void>((resolve) => {
        this.#whenSent = resolve;
      });
    return this.commands.map((command) => command.split(" ")[2] ?? "");
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
    rig.answer((await rig.replies(rig.commands.length + 1)).at(-1) ?? "", text);
    assert.deepEqual(await stored, { sequence, isDuplicate }, text);
  }
});

test("each answer goes to the publish that it names, however many are on their way", async (t) => {
  const rig = new Rig();
  t.after(() => rig.publisher.stop(0));
  const stored = Array.from({ length: 1_000 }, () => rig.publish());
  for (const [index, reply] of (await rig.replies(stored.length)).entries())
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
  const [reply = ""] = await rig.replies(1);
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

test("a publish is one command, with its sizes, and too large for the server where its payload is", async (t) => {
  const rig = new Rig();
  t.after(() => rig.publisher.stop(0));
  const stored = rig.publish(Buffer.from("data"));
  const [reply = ""] = await rig.replies(1);
  const size = HEADERS.length;
  assert.equal(rig.commands[0], `HPUB fw.in.0.a ${reply} ${size} ${size + 4}\r\n${HEADERS}data\r\n`);
  rig.answer(reply, '{"stream":"FW_0","seq":1}');
  await stored;
  await assert.rejects(rig.publish(new Uint8Array(1_001 - size)), /too_large|1001 bytes/);
  void rig.publish(new Uint8Array(1_000 - size));
  await rig.replies(2);
});

test("a message that the stream finds too large is refused for good", async (t) => {
  const rig = new Rig();
  t.after(() => rig.publisher.stop(0));
  const large = rig.publish();
  const [reply = ""] = await rig.replies(1);
  rig.answer(
    reply,
    '{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"}}',
  );
  await assert.rejects(large, (error) => error instanceof CodedError && error.code === "too_large");
});
