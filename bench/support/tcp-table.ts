import { readFileSync } from "node:fs";

/** What the kernel says of one TCP socket of this host. */
export interface TcpSocket {
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** ESTABLISHED, SYN_RECV, LISTEN and so on. */
  readonly state: string;
  /** Bytes not acknowledged; of a listener the most that its accept queue holds. */
  readonly sendQueue: number;
  /** Bytes not read; of a listener the connections that wait to be accepted. */
  readonly receiveQueue: number;
  /** 0: no process has it, as with a connection that waits to be accepted. */
  readonly inode: number;
}

/** include/net/tcp_states.h */
const STATES = [
  "UNKNOWN",
  "ESTABLISHED",
  "SYN_SENT",
  "SYN_RECV",
  "FIN_WAIT1",
  "FIN_WAIT2",
  "TIME_WAIT",
  "CLOSE",
  "CLOSE_WAIT",
  "LAST_ACK",
  "LISTEN",
  "CLOSING",
  "NEW_SYN_RECV",
] as const;

/** Every IPv4 socket for which the filter holds: a table of hundreds of thousands takes about a second. */
export function tcpSockets(filter: (socket: TcpSocket) => boolean): TcpSocket[] {
  return parseTcpTable(readFileSync("/proc/net/tcp", "latin1"), filter);
}

export function parseTcpTable(text: string, filter: (socket: TcpSocket) => boolean): TcpSocket[] {
  const sockets: TcpSocket[] = [];
  for (const line of text.split("\n").slice(1)) {
    const [, local, remote, state, queues, , , , , inode] = line.trim().split(/\s+/);
    if (local === undefined || remote === undefined || state === undefined || queues === undefined) continue;
    const [sendQueue = "", receiveQueue = ""] = queues.split(":");
    const [localAddress, localPort] = endpoint(local);
    const [remoteAddress, remotePort] = endpoint(remote);
    const socket = {
      localAddress,
      localPort,
      remoteAddress,
      remotePort,
      state: STATES[Number.parseInt(state, 16)] ?? state,
      sendQueue: Number.parseInt(sendQueue, 16),
      receiveQueue: Number.parseInt(receiveQueue, 16),
      inode: Number(inode ?? 0),
    };
    if (filter(socket)) sockets.push(socket);
  }
  return sockets;
}

/** "0100007F:1F90" is 127.0.0.1:8080 on a little-endian host. */
function endpoint(text: string): [address: string, port: number] {
  const [address = "", port = ""] = text.split(":");
  const bytes = [6, 4, 2, 0].map((at) => Number.parseInt(address.slice(at, at + 2), 16));
  return [bytes.join("."), Number.parseInt(port, 16)];
}
