import type { AskedRate, Rate } from "../protocol/frames.js";
import type { RoomName } from "../protocol/room-name.js";

/** What hangs on a room's namespace. */
export interface RoomSettings {
  readonly history: {
    /** Messages kept a room. 0 keeps none: then a resume works as far as the ring reaches. */
    readonly messages: number;
    /** Age after which a message expires. */
    readonly seconds: number;
  };
  /** Keep the latest message of every key. */
  readonly state: boolean;
  /** State forgets a key that was not published for this long. 0: never. Nobody is told, who watches goes by `time`. */
  readonly stateSeconds: number;
  /** No numbering, no history, no replay: offset 0. Excludes `state`. */
  readonly ephemeral: boolean;
  /** Who may publish: the HTTP API only, or connected clients too. */
  readonly publish: "api" | "client";
  /** Rights of whoever has no token, in letters of `s`, `p`, `h` and `m`, where tokens are asked for. */
  readonly anonymous: string;
  /**
   * Whose a client's key is: its own choice, or the sender's. Then the server puts the session in its place, so that
   * nobody moves another's cursor, and takes it out when the connection ends.
   */
  readonly key: "any" | "sender";
  /** Whether it can be asked who is in a room: not at all, how many connections, or who, by the subjects of their tokens. */
  readonly presence: "off" | "count" | "members";
  /** Delivery classes that a subscription may ask for. At least one. */
  readonly rates: readonly Rate[];
  /** The class of a subscription that asks for none. One of `rates`. */
  readonly rate: Rate;
  /**
   * Whether subscriptions of a slow socket are moved to the slowest class. "auto": where the room keeps state or is ephemeral, or
   * the client asked for a conflated class itself; elsewhere a message may be one that nothing stands for.
   */
  readonly slow: "auto" | "conflate" | "keep";
}

export const DEFAULT_ROOM_SETTINGS: RoomSettings = Object.freeze({
  history: Object.freeze({ messages: 1_000, seconds: 3_600 }),
  state: false,
  stateSeconds: 0,
  ephemeral: false,
  publish: "api",
  anonymous: "",
  key: "any",
  presence: "off",
  rates: Object.freeze(["all", 30, 10, 4, 1] as const),
  rate: "all",
  slow: "auto",
});

/** Looks a room's settings up; pure, cheap, the same answer for the life of the process. */
export type SettingsOf = (room: RoomName) => RoomSettings;

/** The class of a subscription that asks for this rate, which may be one that the namespace does not allow. */
export function rateOf({ rates, rate }: RoomSettings, asked: AskedRate | undefined): Rate {
  return asked === "slowest" ? slowestOf(rates) : (asked ?? rate);
}

/** The class that a slow socket's subscription is moved to; its own where it may not be moved. */
export function slowRateOf({ rates, slow, state, ephemeral }: RoomSettings, own: Rate): Rate {
  const conflates = slow === "conflate" || (slow === "auto" && (state || ephemeral || own !== "all"));
  return conflates ? slowestOf(rates) : own;
}

/** "all" only where there is no other. */
export function slowestOf(rates: readonly Rate[]): Rate {
  const hertz = rates.filter((rate) => rate !== "all");
  return hertz.length === 0 ? "all" : Math.min(...hertz);
}
