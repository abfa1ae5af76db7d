import { type TcpSocket, tcpSockets } from "../support/tcp-table.js";
import type { OverdueHandshake } from "./agent-protocol.js";

/**
 * Where handshakes hang that got no answer, in words with their number: the kernel has both ends of every
 * connection on this host.
 */
export function explainOverdue(port: number, overdue: readonly OverdueHandshake[]): Map<string, number> {
  const wanted = new Set(overdue.map(({ localPort }) => localPort));
  const ends = tcpSockets(
    (socket) =>
      (socket.remotePort === port && wanted.has(socket.localPort)) ||
      (socket.localPort === port && (socket.state === "LISTEN" || wanted.has(socket.remotePort))),
  );
  const verdicts = new Map<string, number>();
  for (const handshake of overdue) {
    const verdict = verdictOf(handshake, port, ends);
    verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
  }
  return verdicts;
}

/** Says of one handshake how far it came, by both ends' sockets. */
export function verdictOf(handshake: OverdueHandshake, port: number, ends: readonly TcpSocket[]): string {
  const { localAddress, localPort } = handshake;
  const client = ends.find((end) => end.localAddress === localAddress && end.localPort === localPort);
  const server = ends.find(
    (end) => end.localPort === port && end.remoteAddress === localAddress && end.remotePort === localPort,
  );
  if (client === undefined) return "the client's kernel has no such socket";
  if (!handshake.connected)
    return `not connected: client ${client.state}, server ${server?.state ?? "knows nothing"}`;
  if (server === undefined)
    return `the client is ${client.state} with ${client.sendQueue} bytes unacknowledged, the server's kernel knows nothing`;
  if (server.state === "SYN_RECV")
    return "the server still waits for the handshake's last packet: accept queue full";
  if (server.inode === 0) return `in the accept queue, ${server.state}, ${server.receiveQueue} bytes there`;
  if (server.receiveQueue > 0)
    return `accepted, ${server.receiveQueue} bytes not read by the server, ${server.state}`;
  if (client.receiveQueue > 0)
    return `answered, ${client.receiveQueue} bytes not read by the client: it is the client that is late`;
  return `accepted and read, ${handshake.receivedBytes} bytes answered, ${server.state}`;
}
