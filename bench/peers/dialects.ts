import { decodeMulti, encode } from "@msgpack/msgpack";
import { benchRoom } from "../support/message-scan.js";
import { clientFrame, OPCODE } from "../support/websocket.js";

/** What a client of one protocol does between the WebSocket handshake and its subscription. */
export interface Dialect {
  readonly path: string;
  /** "": none is offered. */
  readonly subprotocol: string;
  /** Sent as soon as the handshake is done. */
  readonly opening?: Buffer;
  /** What the client does about a frame of the server's. Undefined: it is subscribed from the handshake on. */
  readonly answer?: (payload: Buffer, opcode: number) => Reply | undefined;
}

export interface Reply {
  readonly send?: Buffer;
  /** Whether the subscription stands. */
  readonly live?: boolean;
}
const LIVE: Reply = { live: true };

export type DialectName = (typeof DIALECT_NAMES)[number];
const DIALECT_NAMES = [
  "plain",
  "fanwire",
  "socket.io",
  "socket.io-msgpack",
  "faye",
  "pusher",
  "mqtt",
  "nats",
  "colyseus",
] as const;

const text = (value: string): Buffer => clientFrame(Buffer.from(value), OPCODE.text);
const json = (value: unknown): Buffer => text(JSON.stringify(value));

/** The topic of brokers, the channel of services: everybody's. */
export const TOPIC = "m";
const FANWIRE_LIVE = 20;
/** MQTT 3.1.1: CONNECT with a clean session, no keep-alive and no client id, then SUBSCRIBE at QoS 0. */
const MQTT_CONNECT = Buffer.from([0x10, 12, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 0, 0, 0]);
const MQTT_SUBSCRIBE = Buffer.from([0x82, 6, 0, 1, 0, 1, TOPIC.charCodeAt(0), 0]);
const MQTT_SUBACK = 0x90;
const COLYSEUS_JOIN_ROOM = 10;

/** What each protocol's own client does, no more. */
export const DIALECTS: Readonly<Record<DialectName, Dialect>> = {
  plain: { path: "/", subprotocol: "" },
  fanwire: {
    path: "/ws",
    subprotocol: "fanwire.v1",
    opening: clientFrame(encode([1, 1, benchRoom(0)])),
    answer: (payload) => {
      for (const value of decodeMulti(payload)) {
        if (!Array.isArray(value)) continue;
        if (value[0] === 18) throw new Error(`the engine refused: ${JSON.stringify(value)}`);
        if (value[0] === FANWIRE_LIVE) return LIVE;
      }
      return undefined;
    },
  },
  "socket.io": {
    path: "/socket.io/?EIO=4&transport=websocket",
    subprotocol: "",
    answer: (payload) => {
      const packet = payload.toString("latin1", 0, 2);
      if (packet.startsWith("0")) return { send: text("40") };
      return packet === "40" ? LIVE : undefined;
    },
  },
  "socket.io-msgpack": {
    path: "/socket.io/?EIO=4&transport=websocket",
    subprotocol: "",
    // Engine.IO opens with text; all that follows is the parser's, binary.
    answer: (_, opcode) =>
      opcode === OPCODE.text ? { send: clientFrame(encode({ type: 0, nsp: "/" })) } : LIVE,
  },
  faye: {
    path: "/faye",
    subprotocol: "",
    opening: json([
      { channel: "/meta/handshake", version: "1.0", supportedConnectionTypes: ["websocket"], id: "1" },
    ]),
    answer: fayeAnswer,
  },
  pusher: {
    path: "/app/app-key?protocol=7",
    subprotocol: "",
    answer: (payload) => {
      const { event } = JSON.parse(payload.toString()) as { event: string };
      if (event === "pusher:connection_established")
        return { send: json({ event: "pusher:subscribe", data: { channel: TOPIC } }) };
      return event === "pusher_internal:subscription_succeeded" ? LIVE : undefined;
    },
  },
  mqtt: {
    path: "/",
    subprotocol: "mqtt",
    opening: clientFrame(Buffer.concat([MQTT_CONNECT, MQTT_SUBSCRIBE])),
    answer: (payload) => (payload.includes(MQTT_SUBACK) ? LIVE : undefined),
  },
  nats: {
    path: "/",
    subprotocol: "",
    opening: clientFrame(Buffer.from(`CONNECT {"verbose":false}\r\nSUB ${TOPIC} 1\r\nPING\r\n`)),
    answer: (payload) => (payload.includes("PONG\r\n") ? LIVE : undefined),
  },
  colyseus: {
    path: "/",
    subprotocol: "",
    answer: (payload) =>
      payload[0] === COLYSEUS_JOIN_ROOM
        ? { send: clientFrame(Buffer.of(COLYSEUS_JOIN_ROOM)), live: true }
        : undefined,
  },
};

/** The reply to the handshake names the client, which subscribes and then waits for messages: that is answered late. */
function fayeAnswer(payload: Buffer): Reply | undefined {
  const replies = JSON.parse(payload.toString()) as {
    channel: string;
    successful?: boolean;
    clientId?: string;
  }[];
  for (const { channel, clientId, successful } of replies) {
    if (successful === false) throw new Error(`Faye refused: ${payload.toString()}`);
    if (channel === "/meta/handshake")
      return { send: json([{ channel: "/meta/subscribe", clientId, subscription: `/${TOPIC}`, id: "2" }]) };
    if (channel === "/meta/subscribe")
      return {
        send: json([{ channel: "/meta/connect", clientId, connectionType: "websocket", id: "3" }]),
        live: true,
      };
  }
  return undefined;
}
