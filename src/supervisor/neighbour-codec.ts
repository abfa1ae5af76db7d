import { CodedError } from "../protocol/errors.js";
import { parseRoom, type RoomName } from "../protocol/room-name.js";
import type { RoomOfNode } from "./room-inspection.js";

/** Which process speaks: its node's name, and a number that another process of that name does not have. */
export interface NodeSpeaker {
  readonly node: string;
  readonly life: number;
}

/** What nodes tell each other for their operators, now and then. */
export type NeighbourMessage = { readonly from: NodeSpeaker } & (
  | /** It is there. Whoever is asked to says the same. */
  { readonly kind: "here"; readonly asks: boolean }
  | { readonly kind: "bye" } /** Everybody is asked what they have of a room. */
  | {
      readonly kind: "who";
      readonly id: number;
      readonly room: RoomName;
    } /** The answer to that question of that process. */
  | { readonly kind: "room"; readonly to: NodeSpeaker; readonly id: number; readonly room: RoomOfNode }
);

/** What gossip of this kind begins with; presence has another. Nodes that know nothing of it leave it alone. */
export const NEIGHBOUR_GOSSIP = 2;

export function encodeNeighbour(message: NeighbourMessage): Uint8Array {
  return Buffer.concat([Uint8Array.of(NEIGHBOUR_GOSSIP), Buffer.from(JSON.stringify(message))]);
}

/** Undefined where the bytes are none: others speak on the same subject, and nodes of other versions. */
export function decodeNeighbour(bytes: Uint8Array): NeighbourMessage | undefined {
  if (bytes[0] !== NEIGHBOUR_GOSSIP) return undefined;
  try {
    return parse(JSON.parse(Buffer.from(bytes.subarray(1)).toString("utf8")));
  } catch (cause) {
    if (cause instanceof SyntaxError || cause instanceof CodedError) return undefined;
    throw cause;
  }
}

type Fields = Readonly<Record<string, unknown>>;

function parse(value: unknown): NeighbourMessage | undefined {
  const fields = fieldsOf(value);
  const from = speakerOf(fields.from);
  if (from === undefined) return undefined;
  const { kind } = fields;
  if (kind === "here") return { from, kind, asks: fields.asks === true };
  if (kind === "bye") return { from, kind };
  const id = countOf(fields.id);
  if (id === undefined) return undefined;
  if (kind === "who")
    return typeof fields.room === "string" ? { from, kind, id, room: parseRoom(fields.room) } : undefined;
  const to = speakerOf(fields.to);
  const room = roomOf(fieldsOf(fields.room), from.node);
  return kind === "room" && to !== undefined && room !== undefined ? { from, kind, to, id, room } : undefined;
}

function speakerOf(value: unknown): NodeSpeaker | undefined {
  const { node, life } = fieldsOf(value);
  return typeof node === "string" && NODE.test(node) && typeof life === "number" ? { node, life } : undefined;
}

/** As the configuration allows names of nodes. */
const NODE = /^[A-Za-z0-9._-]{1,64}$/;

/** It speaks for itself only. */
function roomOf(fields: Fields, node: string): RoomOfNode | undefined {
  const [subscribers, every, paced, silentWorkers] = [
    countOf(fields.subscribers),
    countOf(fields.every),
    countOf(fields.paced),
    countOf(fields.silentWorkers),
  ];
  return subscribers === undefined ||
    every === undefined ||
    paced === undefined ||
    silentWorkers === undefined
    ? undefined
    : { node, subscribers, every, paced, silentWorkers };
}

function countOf(value: unknown): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null ? (value as Fields) : {};
}
