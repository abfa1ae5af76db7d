/**
 * The yardstick: uWebSockets.js and nothing else. It speaks just enough of the protocol for the same load client:
 * `subscribe` joins a topic, each message is one `app.publish` of the same frame that the engine sends. No storage,
 * no checks, no limits. Publishes come over HTTP as the engine's do; they are passed on from `setImmediate`, or with
 * `--in-handler` from the request's handler, which holds uWS's cork. Runs as a child of a bench; its port is chosen by
 * the system.
 */

import uWS from "uWebSockets.js";
import { decode, decodeMulti, encode } from "@msgpack/msgpack";
import { serveControl } from "./support/server-control.js";

const CODE_SUBSCRIBE = 1;
const EPOCH = "bare";

interface UserData {
  readonly id: number;
}

const heads = new Map<string, number>();
const app = uWS.App();
const inHandler = process.argv.includes("--in-handler");
let connections = 0;
app.ws<UserData>("/ws", {
  compression: uWS.DISABLED,
  maxPayloadLength: 16_384,
  maxBackpressure: 1_048_576,
  idleTimeout: 120,
  sendPingsAutomatically: false,
  upgrade(response, request, context) {
    connections += 1;
    response.upgrade<UserData>(
      { id: connections },
      request.getHeader("sec-websocket-key"),
      request.getHeader("sec-websocket-protocol"),
      request.getHeader("sec-websocket-extensions"),
      context,
    );
  },
  open(socket) {
    socket.send(encode([16, { session: "s", node: "bare", pingMs: 25_000, maxBytes: 16_384 }]), true);
  },
  message(socket, payload) {
    for (const value of decodeMulti(payload)) {
      if (!Array.isArray(value) || value[0] !== CODE_SUBSCRIBE) continue;
      const room = String(value[2]);
      socket.subscribe(room);
      const offset = headOf(room);
      const answer = [
        encode([17, value[1], { epoch: EPOCH, offset, recovered: false }]),
        encode([20, room, offset]),
      ];
      socket.send(Buffer.concat(answer), true);
    }
  },
});

/** The same request as the engine's batch: `[{room, data}]` as MessagePack, one position a message in return. */
app.post("/v1/messages", (response) => {
  let body = Buffer.alloc(0);
  let aborted = false;
  response.onAborted(() => {
    aborted = true;
  });
  response.onData((part, last) => {
    body = Buffer.concat([body, Buffer.from(part)]);
    if (!last) return;
    const batch = decode(body) as { room: string; data: Uint8Array }[];
    const answer = (): void => {
      const results = batch.map(({ room, data }) => ({ epoch: EPOCH, offset: publish(room, encode(data)) }));
      if (aborted) return;
      response.cork(() => {
        response.writeHeader("Content-Type", "application/msgpack").end(encode(results));
      });
    };
    if (inHandler) answer();
    else setImmediate(answer);
  });
});

function headOf(room: string): number {
  return heads.get(room) ?? 0;
}

function publish(room: string, data: Uint8Array): number {
  const prev = headOf(room);
  const offset = prev + 1;
  heads.set(room, offset);
  // Encoded around the data's bytes: 0x96 is an array of six, and the data follows the five other fields.
  const fields = [19, room, offset, prev, Date.now()].map((field) => encode(field));
  app.publish(room, Buffer.concat([Buffer.of(0x96), ...fields, data]), true);
  return offset;
}

app.listen("127.0.0.1", 0, (socket) => {
  if (socket === false) throw new Error("the bare server cannot listen");
  serveControl(uWS.us_socket_local_port(socket));
});
