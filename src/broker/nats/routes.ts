import type { RoomName } from "../../protocol/room-name.js";
import { placeOf, type StreamPlan } from "./stream-plan.js";
import type { Stream, Streams } from "./streams.js";
import { encodeRoom } from "./subjects.js";

/** Where a room's messages are stored. */
export interface Route {
  readonly stream: Stream;
  /** The room in subjects. */
  readonly token: string;
  /** Of a message without a key in its subject; undefined in a keyed set, where each message has one. */
  readonly subject: string | undefined;
}

/** Rooms that are remembered; then all are forgotten, as working one out again costs a microsecond. */
const ROUTES_MAX = 16_384;

/** Where rooms are stored, remembered: the plan stays for as long as this node runs. */
export class Routes {
  readonly #plan: StreamPlan;
  readonly #streams: Streams;
  readonly #known = new Map<RoomName, Route | "ephemeral">();

  constructor(plan: StreamPlan, streams: Streams) {
    this.#plan = plan;
    this.#streams = streams;
  }

  of(room: RoomName): Route | "ephemeral" {
    const known = this.#known.get(room);
    if (known !== undefined) return known;
    const route = this.#find(room);
    if (this.#known.size >= ROUTES_MAX) this.#known.clear();
    this.#known.set(room, route);
    return route;
  }

  #find(room: RoomName): Route | "ephemeral" {
    const { set } = placeOf(this.#plan, room);
    if (set === undefined) return "ephemeral";
    const { subjects } = this.#plan;
    const token = encodeRoom(room);
    const partition = subjects.partitionOf(token);
    const subject = set.keyed ? undefined : subjects.storedOf(set, partition, token, undefined);
    return { stream: this.#streams.at(set, partition), token, subject };
  }
}
