import assert from "node:assert/strict";
import { test } from "node:test";
import type { TcpSocket } from "../support/tcp-table.js";
import type { OverdueHandshake } from "./agent-protocol.js";
import { verdictOf } from "./verdict.js";

const PORT = 9_001;
const handshake: OverdueHandshake = {
  localAddress: "127.0.0.2",
  localPort: 40_000,
  connected: true,
  receivedBytes: 0,
  ageMs: 30_000,
};
const client: TcpSocket = {
  localAddress: "127.0.0.2",
  localPort: 40_000,
  remoteAddress: "127.0.0.1",
  remotePort: PORT,
  state: "ESTABLISHED",
  sendQueue: 190,
  receiveQueue: 0,
  inode: 7,
};
const server: TcpSocket = {
  localAddress: "127.0.0.1",
  localPort: PORT,
  remoteAddress: "127.0.0.2",
  remotePort: 40_000,
  state: "ESTABLISHED",
  sendQueue: 0,
  receiveQueue: 190,
  inode: 0,
};

test("each place where a handshake can hang has its words", () => {
  const say = (...ends: TcpSocket[]): string => verdictOf(handshake, PORT, ends);
  assert.match(say(client, server), /^in the accept queue/);
  assert.match(say(client, { ...server, inode: 8 }), /^accepted, 190 bytes not read/);
  assert.match(say(client, { ...server, inode: 8, receiveQueue: 0 }), /^accepted and read, 0 bytes answered/);
  assert.match(
    say({ ...client, receiveQueue: 258 }, { ...server, inode: 8, receiveQueue: 0 }),
    /^answered, 258 bytes not read by the client/,
  );
  assert.match(say(client, { ...server, state: "SYN_RECV" }), /accept queue full/);
  assert.match(say(client), /ESTABLISHED with 190 bytes unacknowledged, the server's kernel knows nothing/);
  assert.match(say(), /no such socket/);
  assert.match(
    verdictOf({ ...handshake, connected: false }, PORT, [{ ...client, state: "SYN_SENT" }]),
    /not connected: client SYN_SENT, server knows nothing/,
  );
  // The same port of another address is another connection.
  assert.match(say(client, { ...server, remoteAddress: "127.0.0.3" }), /knows nothing/);
});
