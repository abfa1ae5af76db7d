import assert from "node:assert/strict";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { encode } from "@msgpack/msgpack";
import { CODE } from "../protocol/frames.js";
import {
  clientFrame,
  DEADLINE_MS,
  handshake,
  OPCODE,
  RawSocket,
  within,
} from "../server/raw-socket.testkit.js";
import type { TestNode } from "../supervisor/node.testkit.js";
import { type Attack, connectMany, join, joinMany, total } from "./attack.testkit.js";

const CHURN_MS = 2_000;
const CHURN_AT_ONCE = 100;
const BULK_ROOM = "bulk.all";
const BULK = "x".repeat(15_000);
const BULK_MESSAGES = 1_200;

async function publishBulk(node: TestNode): Promise<void> {
  const batch = JSON.stringify(Array.from({ length: 40 }, () => ({ room: BULK_ROOM, data: BULK })));
  for (let sent = 0; sent < BULK_MESSAGES; sent += 40) {
    const answer = await fetch(`${node.url}/v1/messages`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: batch,
    });
    assert.equal(answer.status, 200);
    await answer.arrayBuffer();
  }
}

/** Handshakes and goes, over and over, for a while. Returns how often it went how. */
async function churn(node: TestNode, address?: string): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  const endMs = Date.now() + CHURN_MS;
  const text = handshake({ headers: { "X-Forwarded-For": address } });
  const once = (): Promise<string> =>
    new Promise((resolve) => {
      const socket = connect({ port: node.port, host: "127.0.0.1" });
      socket.on("connect", () => socket.write(text));
      socket.once("data", (data) => {
        resolve(data.subarray(9, 12).toString());
        socket.resetAndDestroy();
      });
      socket.on("error", () => resolve("reset"));
      socket.on("close", () => resolve("end"));
    });
  await Promise.all(
    Array.from({ length: CHURN_AT_ONCE }, async () => {
      while (Date.now() < endMs) {
        const how = await once();
        counts[how] = (counts[how] ?? 0) + 1;
      }
    }),
  );
  return counts;
}

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const endMs = Date.now() + DEADLINE_MS;
  while (!(await isSo())) {
    assert.ok(Date.now() < endMs, `not within ${DEADLINE_MS} ms: they ${what}`);
    await sleep(50);
  }
}

export const SOCKET_ATTACKS: readonly Attack[] = [
  {
    name: "headers without end",
    run: async (node) => {
      const sockets = await connectMany(node, 100);
      const block = `X-Filler: ${"a".repeat(1_000)}\r\n`.repeat(10);
      const ends = sockets.map(async (socket) => {
        socket.write("GET /ws HTTP/1.1\r\nHost: a\r\n");
        for (let sent = 0; sent < 50 && !socket.isClosed; sent += 1) {
          socket.write(block);
          await sleep(2);
        }
        return socket.closed;
      });
      const how = await within(Promise.all(ends), "the end of those who send headers");
      return `${how.length} cut`;
    },
  },
  {
    name: "connecting and going, as fast as it goes",
    run: async (node) => {
      const counts = await churn(node);
      const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
      assert.ok((counts["101"] ?? 0) > 0);
      await node.until("rid of them", ({ connections }) => connections < 50);
      return `${Math.round(all / (CHURN_MS / 1_000))} a second: ${JSON.stringify(counts)}`;
    },
  },
  {
    name: "the same from one address behind a proxy",
    run: async (node) => {
      const counts = await churn(node, "198.51.100.66");
      assert.ok((counts["429"] ?? 0) > (counts["101"] ?? 0), JSON.stringify(counts));
      const other = await join(node, { headers: { "X-Forwarded-For": "198.51.100.67" } });
      other.destroy();
      return JSON.stringify(counts);
    },
  },
  {
    name: "many sockets of one address, each asking as much as one may",
    run: async (node) => {
      const sockets = await joinMany(node, 40, { headers: { "X-Forwarded-For": "198.51.100.70" } });
      const most = Buffer.concat(Array.from({ length: 1_000 }, () => encode([CODE.ping, 0])));
      for (const socket of sockets) {
        socket.send(OPCODE.binary, most);
        socket.send(OPCODE.binary, most);
        await sleep(2);
      }
      const left = sockets.filter((socket) => !socket.raw.isClosed).length;
      await until("are closed", async () => (await total(node, "gateway", "requestsOverAddress")) > 0);
      for (const socket of sockets) socket.destroy();
      return `${await total(node, "gateway", "requestsOverAddress")} of ${left} closed by their address`;
    },
  },
  {
    name: "subscribing and never reading",
    run: async (node) => {
      const before = await total(node, "engine", "slowCloses");
      const sockets = await joinMany(node, 10);
      for (const socket of sockets) {
        socket.send(OPCODE.binary, encode([CODE.subscribe, 1, BULK_ROOM]));
        await socket.frame();
        await socket.frame();
        socket.raw.pause();
      }
      await publishBulk(node);
      await until(
        "are closed",
        async () => (await total(node, "engine", "slowCloses")) >= before + sockets.length,
      );
      for (const socket of sockets) socket.destroy();
      return `${sockets.length} are closed`;
    },
  },
  {
    name: "reading one byte a second",
    run: async (node) => {
      const asked = await total(node, "engine", "requests");
      const sockets = Array.from({ length: 10 }, () => {
        const socket = connect({
          port: node.port,
          host: "127.0.0.1",
          onread: {
            buffer: Buffer.alloc(1),
            callback: () => {
              // uWebSockets.js drops what comes before its answer to the handshake has left.
              if (socket.bytesRead === 1)
                socket.write(clientFrame(OPCODE.binary, encode([CODE.subscribe, 1, BULK_ROOM])));
              socket.pause();
              setTimeout(() => socket.resume(), 1_000);
              return false;
            },
          },
        });
        socket.on("error", () => {});
        socket.on("connect", () => socket.write(handshake()));
        return socket;
      });
      try {
        const before = await total(node, "engine", "slowCloses");
        await until(
          "subscribed",
          async () => (await total(node, "engine", "requests")) >= asked + sockets.length,
        );
        await publishBulk(node);
        await until(
          "are closed",
          async () => (await total(node, "engine", "slowCloses")) >= before + sockets.length,
        );
        return `${sockets.length} are closed`;
      } finally {
        for (const socket of sockets) socket.destroy();
      }
    },
  },
  {
    name: "half-closed connections",
    run: async (node) => {
      const [sockets, plain] = [await joinMany(node, 50), await connectMany(node, 50)];
      for (const socket of sockets) socket.raw.socket.end();
      for (const socket of plain) {
        socket.write("POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n");
        socket.socket.end();
      }
      const ends = [...sockets.map(({ raw }) => raw.closed), ...plain.map(({ closed }) => closed)];
      for (const socket of [...sockets.map(({ raw }) => raw), ...plain]) socket.resume();
      await within(Promise.all(ends), "the end of half-closed connections");
      return "all closed";
    },
  },
  {
    name: "paths out of the page's folder",
    run: async (node) => {
      const paths = [
        "/../../../../etc/passwd",
        "/..%2f..%2f..%2fetc/passwd",
        "/%2e%2e/%2e%2e/package.json",
        "/....//....//package.json",
        "/..\\..\\package.json",
        "//etc/passwd",
        "/page.js/../../../package.json",
        "/page.js%00.html",
        "/./../package.json",
        "/%c0%ae%c0%ae/package.json",
        "http://127.0.0.1/../package.json",
      ];
      for (const path of paths) {
        const socket = await RawSocket.connect(node.port);
        socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
        const { status, body } = await socket.answer().catch(() => ({ status: 0, body: Buffer.alloc(0) }));
        assert.ok([404, 400, 505, 0].includes(status), `${path}: ${status}`);
        assert.ok(!/root:|"version"/.test(body.toString()), path);
        socket.destroy();
      }
      return `${paths.length} paths`;
    },
  },
];
