import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { WebSocketServer } from "ws";
import { clientFrame, FrameReader, OPCODE, upgradeRequest } from "./websocket.js";

/** A server's frame, written apart from the reader: unmasked, its length in as few bytes as possible. */
function serverFrame(payload: Uint8Array, opcode = 2): Buffer {
  const { length } = payload;
  const header =
    length < 126
      ? [length]
      : length < 65_536
        ? [126, length >> 8, length & 0xff]
        : [127, 0, 0, 0, 0, length >>> 24, (length >> 16) & 0xff, (length >> 8) & 0xff, length & 0xff];
  return Buffer.concat([Buffer.of(0x80 | opcode, ...header), payload]);
}

test("frames come out whole and in order, however the stream is cut", () => {
  const payload = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.constantFrom(0, 125, 126, 127, 65_535, 65_536, 70_000).map((length) => new Uint8Array(length).fill(7)),
  );
  fc.assert(
    fc.property(
      fc.array(payload, { maxLength: 8 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 9_000 })),
      (payloads, sizes) => {
        const stream = Buffer.concat(payloads.map((bytes) => serverFrame(bytes)));
        const shared = Buffer.alloc(9_000);
        const reader = new FrameReader();
        const seen: Buffer[] = [];
        for (let at = 0; at < stream.length; ) {
          const size = Math.min(sizes.next().value ?? 1, stream.length - at);
          // The same buffer for every read, as the load client has it: what the reader keeps must be its own.
          shared.fill(0xee);
          stream.copy(shared, 0, at, at + size);
          reader.feed(shared, 0, size, (opcode, bytes, start, end) => {
            assert.equal(opcode, OPCODE.binary);
            seen.push(Buffer.from(bytes.subarray(start, end)));
          });
          at += size;
        }
        assert.deepEqual(
          seen,
          payloads.map((bytes) => Buffer.from(bytes)),
        );
        assert.equal(reader.pendingBytes, 0);
      },
    ),
    { numRuns: 200 },
  );
});

test("what no server may send is refused", () => {
  const feed = (...bytes: number[]): void =>
    new FrameReader().feed(Buffer.from(bytes), 0, bytes.length, () => {});
  assert.throws(() => feed(0x02, 0x00), /fragmented/);
  assert.throws(() => feed(0xc2, 0x00), /not a frame/);
  assert.throws(() => feed(0x82, 0x80, 0, 0, 0, 0), /masked/);
  assert.throws(() => feed(0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0), /frame of/);
});

test("another implementation understands the handshake and the frames", { timeout: 5_000 }, async () => {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", handleProtocols: () => "fanwire.v1" });
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  const received: Buffer[] = [];
  server.on("connection", (peer) => {
    peer.on("message", (data: Buffer) => {
      received.push(data);
      peer.send(data);
    });
  });
  const payloads = [1, 125, 126, 60_000].map((length) => Buffer.alloc(length, length & 0xff));
  const socket = net.connect(port, "127.0.0.1");
  socket.write(upgradeRequest(`127.0.0.1:${port}`, "/ws", "fanwire.v1"));
  const reader = new FrameReader();
  const echoed: Buffer[] = [];
  let open = false;
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    let from = 0;
    if (!open) {
      assert.match(chunk.toString("latin1"), /^HTTP\/1\.1 101 /);
      from = chunk.indexOf("\r\n\r\n") + 4;
      open = true;
      for (const payload of payloads) socket.write(clientFrame(payload));
    }
    reader.feed(chunk, from, chunk.length, (_, bytes, start, end) => {
      echoed.push(Buffer.from(bytes.subarray(start, end)));
    });
    if (echoed.length === payloads.length) break;
  }
  server.close();
  assert.deepEqual(received, payloads);
  assert.deepEqual(echoed, payloads);
});
