import { decodeMulti, encode } from "@msgpack/msgpack";
import { benchRoom } from "../support/message-scan.js";
import { clientFrame, OPCODE } from "../support/websocket.js";
import { DIALECTS, type Dialect } from "./dialects.js";

export type BoardApi =
  | { readonly kind: "fanwire"; readonly rate: number | "all" }
  | { readonly kind: "ws" }
  | { readonly kind: "socket.io" };

const LIVE = 20;
const ERROR = 18;
/** Requests in one WebSocket message: below the engine's 16 KB. */
const ROOMS_A_MESSAGE = 200;

/** What a client does until it watches its symbols. */
export function boardDialect(api: BoardApi, watch: readonly number[]): Dialect {
  switch (api.kind) {
    case "fanwire":
      return fanwireBoard(api.rate, watch);
    case "ws":
      return {
        path: "/",
        subprotocol: "",
        opening: clientFrame(Buffer.from(JSON.stringify({ watch })), OPCODE.text),
        answer: (payload) => (payload.toString().startsWith('{"watching"') ? { live: true } : undefined),
      };
    case "socket.io":
      return {
        path: DIALECTS["socket.io"].path,
        subprotocol: "",
        answer: (payload) => {
          const text = payload.toString();
          if (text.startsWith("0")) return { send: clientFrame(Buffer.from("40"), OPCODE.text) };
          if (text.startsWith("40"))
            return {
              send: clientFrame(Buffer.from(`42${JSON.stringify(["watch", watch])}`), OPCODE.text),
            };
          return text.startsWith('42["watching"') ? { live: true } : undefined;
        },
      };
  }
}

function fanwireBoard(rate: number | "all", watch: readonly number[]): Dialect {
  const messages: Buffer[] = [];
  for (let from = 0; from < watch.length; from += ROOMS_A_MESSAGE) {
    const values = watch
      .slice(from, from + ROOMS_A_MESSAGE)
      .map((symbol, at) => encode([1, from + at + 1, benchRoom(symbol), rate === "all" ? {} : { rate }]));
    messages.push(clientFrame(Buffer.concat(values)));
  }
  let due = watch.length;
  return {
    path: DIALECTS.fanwire.path,
    subprotocol: DIALECTS.fanwire.subprotocol,
    opening: Buffer.concat(messages),
    answer: (payload) => {
      for (const value of decodeMulti(payload)) {
        if (!Array.isArray(value)) continue;
        if (value[0] === ERROR) throw new Error(`the engine refused: ${JSON.stringify(value)}`);
        if (value[0] === LIVE) due -= 1;
      }
      return due === 0 ? { live: true } : undefined;
    },
  };
}
