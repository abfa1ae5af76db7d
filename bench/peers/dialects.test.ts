import assert from "node:assert/strict";
import { test } from "node:test";
import { encode } from "@msgpack/msgpack";
import { OPCODE } from "../support/websocket.js";
import { DIALECTS, type DialectName, type Reply } from "./dialects.js";

/** What the client does about a text of the server's. */
function answer(
  name: DialectName,
  payload: string | Uint8Array,
  opcode: number = OPCODE.text,
): Reply | undefined {
  return DIALECTS[name].answer?.(Buffer.from(payload), opcode);
}

/** The payload of a client's frame, whose mask is zero. */
function sent(reply: Reply | undefined): string {
  const frame = reply?.send ?? Buffer.alloc(0);
  return frame.toString("utf8", (frame[1] ?? 0) === 0xfe ? 8 : 6);
}

test("each protocol's handshake is gone through as far as its subscription", () => {
  assert.equal(sent(answer("socket.io", '0{"sid":"a"}')), "40");
  assert.equal(answer("socket.io", '40{"sid":"a"}')?.live, true);

  assert.ok(answer("socket.io-msgpack", '0{"sid":"a"}')?.send);
  assert.equal(answer("socket.io-msgpack", encode({ type: 0 }), OPCODE.binary)?.live, true);

  const subscribe = sent(answer("pusher", '{"event":"pusher:connection_established","data":"{}"}'));
  assert.equal(JSON.parse(subscribe).event, "pusher:subscribe");
  assert.equal(answer("pusher", '{"event":"pusher_internal:subscription_succeeded"}')?.live, true);

  assert.equal(answer("mqtt", Buffer.of(0x20, 2, 0, 0), OPCODE.binary), undefined);
  assert.equal(answer("mqtt", Buffer.of(0x90, 3, 0, 1, 0), OPCODE.binary)?.live, true);

  assert.equal(answer("nats", "INFO {}\r\n"), undefined);
  assert.equal(answer("nats", "PONG\r\n")?.live, true);

  const greeted = answer("faye", '[{"channel":"/meta/handshake","successful":true,"clientId":"c"}]');
  assert.equal(JSON.parse(sent(greeted))[0].channel, "/meta/subscribe");
  assert.equal(
    answer("faye", '[{"channel":"/meta/subscribe","successful":true,"clientId":"c"}]')?.live,
    true,
  );

  assert.equal(answer("colyseus", Buffer.of(10, 1, 2), OPCODE.binary)?.live, true);
  assert.equal(answer("fanwire", encode([16, {}]), OPCODE.binary), undefined);
  assert.equal(answer("fanwire", encode([20, "bench.r00000", 0]), OPCODE.binary)?.live, true);
});

test("a server that refuses is not waited for", () => {
  assert.throws(() => answer("faye", '[{"channel":"/meta/handshake","successful":false}]'), /refused/);
  assert.throws(() => answer("fanwire", encode([18, 1, "forbidden", "no"]), OPCODE.binary), /forbidden/);
});
