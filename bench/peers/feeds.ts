import { createHash, createHmac } from "node:crypto";
import { once } from "node:events";
import net from "node:net";
import type { Writable } from "node:stream";
import { encode } from "@msgpack/msgpack";
import { benchRoom } from "../support/message-scan.js";
import { TOPIC } from "./dialects.js";
import { symbolOf } from "./market.js";
import { numberOf } from "./payload.js";

/** How messages get into a server: each in the way it is meant for. */
export interface Feed {
  /** Hands over a batch at once; resolves when the server has it, as far as it says so. */
  send(payloads: readonly Buffer[]): Promise<void>;
  close(): void;
}

/** Servers of ours read batches from their standard input, see servers/feed.mjs. */
export function stdinFeed(stdin: Writable): Feed {
  return {
    send: async (payloads) => {
      const header = Buffer.alloc(8);
      header.writeUInt32BE(payloads.length, 0);
      header.writeUInt32BE(payloads[0]?.length ?? 0, 4);
      stdin.write(Buffer.concat([header, ...payloads]));
    },
    close: () => stdin.end(),
  };
}

/** fanwire: a batch is one request. */
export async function fanwireFeed(port: number): Promise<Feed> {
  const http = await HttpPipe.open(port);
  const headers = "content-type: application/msgpack\r\naccept: application/msgpack\r\n";
  return {
    send: (payloads) => {
      const body = encode(payloads.map((data) => ({ room: benchRoom(0), data })));
      return http.post([{ path: "/v1/messages", headers, body: Buffer.from(body) }]);
    },
    close: () => http.close(),
  };
}

/** fanwire as a market board: a room and a key a symbol, a batch is one request. */
export async function fanwireBoardFeed(port: number): Promise<Feed> {
  const http = await HttpPipe.open(port);
  const headers = "content-type: application/msgpack\r\naccept: application/msgpack\r\n";
  return {
    send: (payloads) => {
      const items = payloads.map((data) => {
        const symbol = symbolOf(numberOf(data));
        return { room: benchRoom(symbol), key: String(symbol), data };
      });
      return http.post([{ path: "/v1/messages", headers, body: Buffer.from(encode(items)) }]);
    },
    close: () => http.close(),
  };
}

/** nchan: a request a message, sent without waiting for one another. */
export async function nchanFeed(port: number): Promise<Feed> {
  const http = await HttpPipe.open(port);
  return {
    send: (payloads) => http.post(payloads.map((body) => ({ path: "/pub", headers: "", body }))),
    close: () => http.close(),
  };
}

/** soketi: a batch is one signed request, as Pusher's API wants it, and one connection, as soketi ends it after each. */
export function soketiFeed(port: number): Feed {
  return {
    send: async (payloads) => {
      const batch = payloads.map((payload) => ({
        channel: TOPIC,
        name: "m",
        data: payload.toString("latin1"),
      }));
      const body = Buffer.from(JSON.stringify({ batch }));
      const query = [
        "auth_key=app-key",
        `auth_timestamp=${Math.floor(Date.now() / 1_000)}`,
        "auth_version=1.0",
        `body_md5=${createHash("md5").update(body).digest("hex")}`,
      ].join("&");
      const path = "/apps/app-id/batch_events";
      const signature = createHmac("sha256", "app-secret").update(`POST\n${path}\n${query}`).digest("hex");
      const headers = "content-type: application/json\r\n";
      const http = await HttpPipe.open(port);
      await http.post([{ path: `${path}?${query}&auth_signature=${signature}`, headers, body }]);
      http.close();
    },
    close: () => {},
  };
}

/** mosquitto: an MQTT client over TCP publishes at QoS 0. */
export async function mqttFeed(port: number): Promise<Feed> {
  const socket = await connect(port);
  socket.write(
    Buffer.from([0x10, 17, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 0, 0, 5, ...Buffer.from("bench")]),
  );
  await once(socket, "data");
  return {
    send: async (payloads) => {
      socket.write(Buffer.concat(payloads.flatMap((payload) => [mqttHeader(payload.length), payload])));
    },
    close: () => socket.destroy(),
  };
}

function mqttHeader(bytes: number): Buffer {
  const remaining = 2 + TOPIC.length + bytes;
  const length = remaining < 128 ? [remaining] : [0x80 | (remaining & 0x7f), remaining >> 7];
  return Buffer.from([0x30, ...length, 0, TOPIC.length, ...Buffer.from(TOPIC)]);
}

/** nats-server: a client over TCP. */
export async function natsFeed(port: number): Promise<Feed> {
  const socket = await connect(port);
  socket.write('CONNECT {"verbose":false}\r\nPING\r\n');
  await once(socket, "data");
  socket.resume();
  return {
    send: async (payloads) => {
      const parts = payloads.flatMap((payload) => [
        Buffer.from(`PUB ${TOPIC} ${payload.length}\r\n`),
        payload,
        Buffer.from("\r\n"),
      ]);
      socket.write(Buffer.concat(parts));
    },
    close: () => socket.destroy(),
  };
}

interface Post {
  readonly path: string;
  /** Each with its line end. */
  readonly headers: string;
  readonly body: Buffer;
}

/** One HTTP connection whose requests do not wait for one another; answers need only be successes. */
class HttpPipe {
  readonly #socket: net.Socket;
  readonly #waiting: { resolve: () => void; reject: (cause: Error) => void }[] = [];
  #text = "";

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.on("data", (bytes) => this.#read(bytes.toString("latin1")));
    const fail = (): void => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error("publishing: the connection broke"));
    };
    socket.once("close", fail);
    socket.on("error", fail);
  }

  static async open(port: number): Promise<HttpPipe> {
    return new HttpPipe(await connect(port));
  }

  async post(posts: readonly Post[]): Promise<void> {
    if (this.#socket.destroyed) throw new Error("publishing: the connection is gone");
    const parts = posts.flatMap(({ path, headers, body }) => [
      Buffer.from(
        `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers}Content-Length: ${body.length}\r\n\r\n`,
      ),
      body,
    ]);
    const answered = posts.map(
      () => new Promise<void>((resolve, reject) => this.#waiting.push({ resolve, reject })),
    );
    this.#socket.write(Buffer.concat(parts));
    await Promise.all(answered);
  }

  close(): void {
    this.#socket.destroy();
  }

  /** Answers are counted by their first lines and told apart by their lengths. */
  #read(text: string): void {
    this.#text += text;
    for (;;) {
      const end = this.#text.indexOf("\r\n\r\n");
      if (end < 0) return;
      const head = this.#text.slice(0, end + 2);
      const status = Number(head.slice(9, 12));
      const length = Number(/\r\ncontent-length: *(\d+)\r\n/i.exec(head)?.[1] ?? 0);
      if (this.#text.length < end + 4 + length) return;
      const body = this.#text.slice(end + 4, end + 4 + length);
      this.#text = this.#text.slice(end + 4 + length);
      const waiting = this.#waiting.shift();
      if (status >= 200 && status < 300) waiting?.resolve();
      else waiting?.reject(new Error(`publishing was answered with ${status} ${body.slice(0, 200)}`));
    }
  }
}

async function connect(port: number): Promise<net.Socket> {
  const socket = net.connect({ host: "127.0.0.1", port, noDelay: true });
  await once(socket, "connect");
  return socket;
}
