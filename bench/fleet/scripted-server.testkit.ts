import { once } from "node:events";
import http from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { decodeMulti, encode } from "@msgpack/msgpack";
import { type WebSocket, WebSocketServer } from "ws";
import { hostMicros } from "../support/clock.js";
import { benchRoom, createContent, setDue } from "../support/message-scan.js";

/** What the server does with a handshake. */
export type Turn =
  | { readonly kind: "switch" }
  | { readonly kind: "refuse"; readonly status: number; readonly headers: string }
  | { readonly kind: "reset" }
  | { readonly kind: "close" }
  | { readonly kind: "silence" }
  /** Switches when that is done. */
  | { readonly kind: "wait"; readonly until: Promise<void> };

/** Of one subscribe request. */
export interface Subscribed {
  readonly room: string;
  readonly after: readonly [epoch: string, offset: number] | undefined;
}

/** One open socket, as the server has it. */
export interface Peer {
  readonly socket: WebSocket;
  readonly subscribed: readonly Subscribed[];
}

export interface Script {
  /** By number of the attempt, from 0. Default: switch. */
  readonly turn?: (attempt: number) => Turn;
  /** What `ok` says. Default: where the client was, or offset 0; recovered where it said where it was. */
  readonly begin?: (request: Subscribed) => { epoch: string; offset: number; recovered: boolean };
  /** Called when a peer's subscriptions are answered. */
  readonly live?: (peer: Peer) => void;
}

/** Enough of a server for the fleet's clients, that does what a test wants with each connection. */
export class ScriptedServer {
  readonly peers: Peer[] = [];
  /** Times of the attempts, by performance.now(). */
  readonly attemptsMs: number[] = [];
  readonly #http = http.createServer();
  readonly #sockets = new Set<Socket>();
  readonly #script: Script;
  port = 0;

  constructor(script: Script = {}) {
    this.#script = script;
    const upgrader = new WebSocketServer({ noServer: true, handleProtocols: () => "fanwire.v1" });
    this.#http.on("connection", (socket) => {
      this.#sockets.add(socket);
      // The clients cut with resets.
      socket.on("error", () => {});
    });
    this.#http.on("upgrade", (request, socket: Socket, head) => {
      const turn = script.turn?.(this.attemptsMs.length) ?? { kind: "switch" };
      this.attemptsMs.push(performance.now());
      const upgrade = (): void => upgrader.handleUpgrade(request, socket, head, (peer) => this.#open(peer));
      if (turn.kind === "switch") upgrade();
      else if (turn.kind === "wait") void turn.until.then(upgrade);
      else if (turn.kind === "refuse") socket.end(`HTTP/1.1 ${turn.status} No\r\n${turn.headers}\r\n{}`);
      else if (turn.kind === "reset") socket.resetAndDestroy();
      else if (turn.kind === "close") socket.end();
    });
  }

  async listen(port = 0): Promise<this> {
    this.#http.listen(port, "127.0.0.1");
    await once(this.#http, "listening");
    this.port = (this.#http.address() as AddressInfo).port;
    return this;
  }

  close(): void {
    this.#http.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #open(socket: WebSocket): void {
    const subscribed: Subscribed[] = [];
    const peer: Peer = { socket, subscribed };
    this.peers.push(peer);
    socket.on("error", () => {});
    socket.send(encode([16, { session: "s", node: "n", pingMs: 25_000, maxBytes: 16_384 }]));
    socket.on("message", (bytes: Buffer) => {
      for (const value of decodeMulti(bytes)) {
        const [code, ref, room, options] = value as [number, number, string, Partial<Subscribed> | undefined];
        if (code !== 1) continue;
        const request = { room, after: options?.after };
        subscribed.push(request);
        const begin = this.#script.begin?.(request) ?? standard(request);
        socket.send(Buffer.concat([encode([17, ref, begin]), encode([20, room, begin.offset])]));
      }
      this.#script.live?.(peer);
    });
  }
}

function standard({ after }: Subscribed): { epoch: string; offset: number; recovered: boolean } {
  const [epoch, offset] = after ?? ["e", 0];
  return { epoch, offset, recovered: after !== undefined };
}

/** A message of a bench, due some milliseconds ago. */
export function benchMessage(room: number, offset: number, prev: number, lateMs = 2): Buffer {
  const content = createContent(100);
  setDue(content, hostMicros() - lateMs * 1_000);
  return Buffer.from(encode([19, benchRoom(room), offset, prev, Date.now(), content]));
}
