import { CodedError } from "../protocol/errors.js";
import type { RoomName } from "../protocol/room-name.js";
import type { RoomPattern } from "../protocol/room-pattern.js";
import type { Outgoing } from "./ports.js";

/** What may be done in a room; the letters that tokens and configuration use are their first ones. */
export type Right = "subscribe" | "publish" | "history" | "members";

/** What somebody may do where. Pure, and the same answer for as long as the object lives. */
export interface Rights {
  allows(right: Right, room: RoomName): boolean;
  /**
   * Whether it is given for every room that the pattern means, by one grant, or by what everybody may do in its namespace; several
   * that only together mean all of these rooms do not count. So no room is ever among them that {@link Rights.allows} would refuse.
   */
  allowsPattern(right: Right, pattern: RoomPattern): boolean;
}

/** Who a connection is, and what it may do. Connections with equal tokens share one. Times are seconds since 1970. */
export interface Access {
  readonly rights: Rights;
  /** Undefined: nobody in particular. */
  readonly sub: string | undefined;
  readonly jti: string | undefined;
  /** 0: not known. */
  readonly issuedAt: number;
  /** When the client is told to authenticate anew. */
  readonly warnAt: number;
  /** When the connection is closed. Infinity: never. */
  readonly expiresAt: number;
}

/** Everything, for ever: where no token is asked for. */
export const OPEN_ACCESS: Access = Object.freeze({
  rights: Object.freeze({ allows: () => true, allowsPattern: () => true }),
  sub: undefined,
  jti: undefined,
  issuedAt: 0,
  warnAt: Number.POSITIVE_INFINITY,
  expiresAt: Number.POSITIVE_INFINITY,
});

/** A connection, as the guard sees it. */
export interface Guest {
  readonly id: string;
  readonly access: Access;
}

/** Who decides besides the rights; each is undefined where nobody wants to be asked. What they reject with is told to the client. */
export interface Guard {
  /** Makes a token into access. Rejects with a CodedError, `unauthenticated` where the token is not good. */
  readonly authenticate?: ((token: string) => Promise<Access>) | undefined;
  /**
   * Asked in the same turn before a connection of nobody in particular gets the access of a subject, which it then is of for good.
   * Returns why it may not.
   */
  readonly enter?: ((guest: Guest, sub: string) => CodedError | undefined) | undefined;
  /** Asked about a room that the rights allow. */
  readonly subscribe?: ((guest: Guest, room: RoomName) => Promise<void>) | undefined;
  /** Asked about a pattern that the rights allow. */
  readonly subscribePattern?: ((guest: Guest, pattern: RoomPattern) => Promise<void>) | undefined;
  /** As {@link Guard.subscribe}; resolves with what is to be published instead. Promises of one guest settle in the order of the calls. */
  readonly publish?: ((guest: Guest, outgoing: Outgoing) => Promise<Outgoing>) | undefined;
}

/** Why a connection may not go on with this access: another subject's, or one too many of its own. */
export function whyNotAs(guest: Guest, { sub }: Access, { enter }: Guard): CodedError | undefined {
  const before = guest.access.sub;
  if (before === undefined) return sub === undefined ? undefined : enter?.(guest, sub);
  if (before === sub) return undefined;
  return new CodedError("forbidden", "the token is of another subject: open another connection for it");
}

/** The same whether there is such a room or not. */
export function forbidden(right: Right, room: RoomName): CodedError {
  return new CodedError("forbidden", `room ${room}: ${WORDS[right]} is not allowed to this connection`);
}

/** The same whether there is any such room or not. */
export function forbiddenPattern(right: Right, pattern: RoomPattern): CodedError {
  return new CodedError(
    "forbidden",
    `pattern ${pattern}: ${WORDS[right]} is not allowed to this connection for all rooms that it means; one of its grants must contain the pattern`,
  );
}

const WORDS: Readonly<Record<Right, string>> = {
  subscribe: "subscribing",
  publish: "publishing",
  history: "reading history",
  members: "seeing members",
};
