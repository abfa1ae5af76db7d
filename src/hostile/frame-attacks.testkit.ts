import assert from "node:assert/strict";
import { encode } from "@msgpack/msgpack";
import { CODE } from "../protocol/frames.js";
import { clientFrame, OPCODE, within } from "../server/raw-socket.testkit.js";
import type { TestNode } from "../supervisor/node.testkit.js";
import { type Attack, breathe, endings, join, joinMany } from "./attack.testkit.js";

const JSON_WIRE = { protocol: "fanwire.v1.json" };

/** Sends until the other side has closed, or so many bytes are out. */
async function sendUntilClosed(node: TestNode, frames: readonly Buffer[], times: number): Promise<number> {
  const socket = await join(node);
  const ended = socket.untilClosed();
  const block = Buffer.concat(frames);
  for (let sent = 0; sent < times && !socket.raw.isClosed; sent += 1) {
    if (socket.raw.socket.write(block)) await breathe();
    else
      await Promise.race([
        new Promise((resolve) => socket.raw.socket.once("drain", resolve)),
        socket.raw.closed,
      ]);
  }
  const closed = await within(ended, "the end of who floods");
  return closed.code;
}

const times = (count: number, frame: Buffer): Buffer[] => Array.from({ length: count }, () => frame);

export const FRAME_ATTACKS: readonly Attack[] = [
  {
    name: "frames without a mask",
    run: async (node) => {
      const sockets = await joinMany(node, 50);
      for (const socket of sockets) socket.send(OPCODE.binary, encode([CODE.ping, 1]), { mask: false });
      // What is read as a mask makes a length that may never come: what follows ends it.
      for (const socket of sockets) socket.raw.write(Buffer.alloc(200_000, 0x81));
      const codes = await endings(sockets);
      assert.equal(codes.get(1000) ?? 0, 0);
      return `closed with ${[...codes].join(" ")}`;
    },
  },
  {
    name: "one message in endless fragments",
    run: async (node) => {
      const first = clientFrame(OPCODE.binary, Buffer.alloc(1_000), { fin: false });
      const next = clientFrame(OPCODE.continuation, Buffer.alloc(1_000), { fin: false });
      const codes = await Promise.all(
        Array.from({ length: 20 }, async () => {
          const socket = await join(node);
          socket.raw.write(first);
          for (let sent = 0; sent < 100_000 && !socket.raw.isClosed; sent += 100) {
            socket.raw.write(Buffer.concat(times(100, next)));
            await breathe();
          }
          return (await socket.untilClosed()).code;
        }),
      );
      assert.ok(
        codes.every((code) => code === 1006 || code === 1009),
        codes.join(" "),
      );
      return `closed with ${codes[0]}`;
    },
  },
  {
    name: "fragments of nothing",
    run: async (node) => {
      const sockets = await joinMany(node, 5);
      const next = Buffer.concat(times(10_000, clientFrame(OPCODE.continuation, "", { fin: false })));
      for (const socket of sockets) socket.send(OPCODE.binary, "", { fin: false });
      for (let round = 0; round < 20; round += 1) {
        for (const socket of sockets) if (!socket.raw.isClosed) socket.raw.write(next);
        await breathe();
      }
      // It is a message in the end, if an empty one.
      for (const socket of sockets) socket.send(OPCODE.continuation, encode([CODE.ping, 1]));
      for (const socket of sockets) {
        await socket.frame();
        await socket.frame();
        socket.destroy();
      }
      return "a million fragments are one message";
    },
  },
  {
    name: "invalid UTF-8, in text frames and within MessagePack",
    run: async (node) => {
      const texts = await joinMany(node, 20, JSON_WIRE);
      for (const socket of texts) socket.send(OPCODE.text, Buffer.from("5b372c31ff5d", "hex"));
      const codes = await endings(texts);
      assert.equal(
        [...codes.keys()].filter((code) => code !== 1006 && code !== 1007 && code !== 4400).length,
        0,
      );
      const binaries = await joinMany(node, 20);
      for (const socket of binaries) {
        await socket.frame();
        socket.send(OPCODE.binary, Buffer.from("930101a3ffc0af", "hex"));
        const { payload } = await socket.frame();
        assert.match(payload.toString("latin1"), /room_invalid|bad_request/);
        socket.destroy();
      }
      return `text closed with ${[...codes.keys()].join(" ")}`;
    },
  },
  {
    name: "a flood of WebSocket pings",
    run: async (node) => {
      const ping = clientFrame(OPCODE.ping, Buffer.alloc(125));
      const codes = await Promise.all(
        Array.from({ length: 10 }, () => sendUntilClosed(node, times(500, ping), 400)),
      );
      assert.ok(
        codes.every((code) => code === 4429 || code === 1006),
        codes.join(" "),
      );
      return `closed with ${codes.join(" ")}`;
    },
  },
  {
    name: "a flood of publishes",
    run: async (node) => {
      const publish = clientFrame(OPCODE.binary, encode([CODE.publish, 0, "cursors.flood", "x".repeat(100)]));
      const codes = await Promise.all(
        Array.from({ length: 5 }, () => sendUntilClosed(node, times(200, publish), 500)),
      );
      assert.ok(
        codes.every((code) => code === 4429 || code === 1006),
        codes.join(" "),
      );
      return `closed with ${codes.join(" ")}`;
    },
  },
  {
    name: "subscribing and unsubscribing as fast as it goes",
    run: async (node) => {
      const churn = Array.from({ length: 100 }, (_, index) => [
        encode([CODE.subscribe, 0, `churn.${index}`]),
        encode([CODE.unsubscribe, 0, `churn.${index}`]),
      ]).flat();
      const frame = clientFrame(OPCODE.binary, Buffer.concat(churn));
      const codes = await Promise.all(
        Array.from({ length: 10 }, () => sendUntilClosed(node, [frame], 1_000)),
      );
      assert.ok(
        codes.every((code) => code === 4429 || code === 1006),
        codes.join(" "),
      );
      return `closed with ${codes.join(" ")}`;
    },
  },
  {
    name: "names of prototypes, in JSON and MessagePack",
    run: async (node) => {
      const evil = '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}';
      const json = await join(node, JSON_WIRE);
      for (const value of [
        `[1,1,"cursors.p",${evil}]`,
        `[8,2,[["__proto__.a"],["constructor"]],${evil}]`,
        `[3,3,"cursors.p",${evil}]`,
        "[7,4]",
      ])
        json.send(OPCODE.text, value);
      let text = "";
      while (!text.includes("[17,4,")) text += (await json.frame()).payload.toString();
      for (const ref of [1, 2, 3]) assert.ok(text.includes(`[18,${ref},"bad_request"`), text);
      json.destroy();
      const map = Buffer.from("81a95f5f70726f746f5f5f81a8706f6c6c7574656401", "hex");
      const binary = await join(node);
      await binary.frame();
      for (const head of ["9403", "9301"]) {
        const frame = [Buffer.from(`${head}01`, "hex"), encode("cursors.p"), map];
        binary.send(OPCODE.binary, Buffer.concat(frame));
        assert.match((await binary.frame()).payload.toString("latin1"), /bad_request/);
      }
      binary.destroy();
      for (const [path, body] of [
        ["/v1/messages", `[{"__proto__":{"room":"cursors.p","data":1}},${evil}]`],
        ["/v1/rooms/cursors.p/messages", evil],
      ] as const) {
        const headers = { "content-type": "application/json" };
        const answer = await fetch(`${node.url}${path}`, { method: "POST", headers, body });
        const told = await answer.text();
        assert.ok(told.includes("bad_request") && !told.includes("offset"), told);
      }
      const health = await (await fetch(`${node.url}/healthz`)).text();
      assert.ok(!health.includes("polluted"));
      return "refused";
    },
  },
];
