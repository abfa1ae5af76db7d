import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { test } from "node:test";
import { parseTcpTable, tcpSockets } from "./tcp-table.js";

test("a line of the kernel's table is read", () => {
  const text = [
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
    "   0: 0100007F:5390 0300007F:C001 01 0000000A:000000BC 02:00000F3C 00000000     0        0 9214 2 0 20 4 30 10 -1",
    "   1: 0100007F:5390 0300007F:C002 03 00000000:00000000 01:00000059 00000000     0        0 0 1 0",
    "",
  ].join("\n");
  const [first, second] = parseTcpTable(text, () => true);
  assert.deepEqual(first, {
    localAddress: "127.0.0.1",
    localPort: 21_392,
    remoteAddress: "127.0.0.3",
    remotePort: 49_153,
    state: "ESTABLISHED",
    sendQueue: 10,
    receiveQueue: 188,
    inode: 9_214,
  });
  assert.deepEqual([second?.state, second?.inode], ["SYN_RECV", 0]);
});

test("a listener that accepts nothing shows who waits, and what it has sent", async () => {
  // A paused server of Node accepts all the same, so the connection is accepted and its bytes stay unread.
  const server = net.createServer({ pauseOnConnect: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  const socket = net.connect({ port, host: "127.0.0.1", localAddress: "127.0.0.2" });
  const accepted = once(server, "connection");
  await once(socket, "connect");
  const [peer] = (await accepted) as [net.Socket];
  try {
    await new Promise((resolve) => socket.write("12345", resolve));
    const seen = tcpSockets(({ localPort, remotePort }) => localPort === port || remotePort === port);
    const listener = seen.find(({ state }) => state === "LISTEN");
    assert.deepEqual([listener?.localPort, listener?.receiveQueue], [port, 0]);
    const server = seen.find(({ remotePort }) => remotePort === socket.localPort);
    assert.deepEqual(
      [server?.remoteAddress, server?.state, server?.receiveQueue],
      ["127.0.0.2", "ESTABLISHED", 5],
    );
    assert.ok((server?.inode ?? 0) > 0);
    assert.ok(
      seen.some(
        ({ localAddress, localPort }) => localAddress === "127.0.0.2" && localPort === socket.localPort,
      ),
    );
  } finally {
    socket.destroy();
    peer.destroy();
    server.close();
  }
});
