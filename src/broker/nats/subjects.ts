import { createHash } from "node:crypto";
import { CodedError } from "../../protocol/errors.js";
import { parseRoom, type RoomName } from "../../protocol/room-name.js";

/**
 * The names of things in NATS, and back. `fw` is the prefix, `p` the room's partition in decimal:
 *
 * | subject | what |
 * | --- | --- |
 * | `fw.in.p.ROOM` | publish here: a room that keeps no state |
 * | `fw.key.p.ROOM.KEY` | publish here: a room whose namespace keeps state; without a key the last token is `~` |
 * | `fw.eph.p.ROOM` | publish and subscribe here: an ephemeral room, never stored |
 * | `fw.live.p.ROOM`, `fw.livekey.p.ROOM.KEY` | subscribe here: what was stored, as the server republishes it |
 * | `fw.ctl.RECORD`, `fw.livectl.RECORD` | the deployment's own records, see control.ts |
 * | `fw.revoked.ID`, `fw.liverevoked.ID` | which tokens are void, see revoked-log.ts |
 *
 * Streams are `FW_p` and `FW_KEY_p`. A namespace may have streams of its own (a named set): then the second token is
 * `in-NAME` and so on, the streams `FW_NAME_p`.
 *
 * **ROOM** is the room's name with `~` for every dot: one token, never empty, never a wildcard, as no room has `~`.
 * **KEY** is the key with every byte of its UTF-8 outside of `A-Z a-z 0-9 _ - :` as `%` and two capital hex digits; the
 * empty key is `%`. One that comes out longer than 200 is `%%` and the SHA-256 in base64url, and then the header says it.
 * **p** is FNV-1a (32 bits) of ROOM, modulo the number of partitions: the same as the server's own mapping function
 * `{{partition(P,1)}}`, so that a publisher can leave it to the server.
 */
export class Subjects {
  readonly prefix: string;
  readonly partitions: number;

  /** @throws RangeError unless the prefix is 1 to 16 of a-z 0-9, a letter first, and partitions are 1 to 1,024. */
  constructor(prefix: string, partitions: number) {
    if (!NAME.test(prefix))
      throw new RangeError(`the prefix ${JSON.stringify(prefix)} is not ${NAME_ALLOWED}`);
    if (!Number.isInteger(partitions) || partitions < 1 || partitions > PARTITIONS_MAX)
      throw new RangeError(`${partitions} partitions: 1 to ${PARTITIONS_MAX} are allowed`);
    this.prefix = prefix;
    this.partitions = partitions;
  }

  /** Where a message of the room is published to be stored. */
  stored(set: SetName, room: RoomName, key: string | undefined): string {
    const token = encodeRoom(room);
    return this.storedOf(set, this.partitionOf(token), token, key);
  }

  /** As {@link Subjects.stored}, of tokens that are known already. */
  storedOf({ keyed, suffix }: SetName, partition: number, token: string, key: string | undefined): string {
    return keyed
      ? `${this.prefix}.key${suffix}.${partition}.${token}.${encodeKey(key)}`
      : `${this.prefix}.in${suffix}.${partition}.${token}`;
  }

  /** All that a room's stored messages can have, as a filter. */
  filter({ keyed, suffix }: SetName, partition: number, token: string): string {
    return keyed
      ? `${this.prefix}.key${suffix}.${partition}.${token}.*`
      : `${this.prefix}.in${suffix}.${partition}.${token}`;
  }

  /** All that the stream of a partition stores. */
  storedIn({ keyed, suffix }: SetName, partition: number): string {
    return keyed
      ? `${this.prefix}.key${suffix}.${partition}.*.*`
      : `${this.prefix}.in${suffix}.${partition}.*`;
  }

  /** What the subjects of a partition's stored messages begin with, up to the room. */
  storedBegin({ keyed, suffix }: SetName, partition: number): string {
    return `${this.prefix}.${keyed ? "key" : "in"}${suffix}.${partition}.`;
  }

  /** All of a partition's live messages, for its stream's RePublish and for who wants the partition whole. */
  liveIn({ keyed, suffix }: SetName, partition: number): string {
    return keyed
      ? `${this.prefix}.livekey${suffix}.${partition}.*.*`
      : `${this.prefix}.live${suffix}.${partition}.*`;
  }

  /** A room's live messages; only where the set is not keyed. */
  live({ suffix }: SetName, partition: number, token: string): string {
    return `${this.prefix}.live${suffix}.${partition}.${token}`;
  }

  ephemeral(room: RoomName): string {
    const token = encodeRoom(room);
    return this.ephemeralOf(this.partitionOf(token), token);
  }

  /** As {@link Subjects.ephemeral}, of tokens that are known already. */
  ephemeralOf(partition: number, token: string): string {
    return `${this.prefix}.eph.${partition}.${token}`;
  }

  /** What all ephemeral rooms get. */
  get ephemeralIn(): string {
    return `${this.prefix}.eph.*.*`;
  }

  stream({ keyed, name }: SetName, partition: number): string {
    const set = name === "" ? "" : `_${name.toUpperCase()}`;
    return `${this.prefix.toUpperCase()}${keyed ? "_KEY" : ""}${set}_${partition}`;
  }

  /** A record of the deployment. */
  control(record: string): string {
    return `${this.prefix}.ctl.${record}`;
  }

  /** A record of the deployment, when it changes. */
  liveControl(record: string): string {
    return `${this.prefix}.livectl.${record}`;
  }

  get controlStream(): string {
    return `${this.prefix.toUpperCase()}_CTL`;
  }

  /** Which tokens are void: a message each. */
  revoked(id: string): string {
    return `${this.prefix}.revoked.${id}`;
  }

  /** The same, when one is stored. */
  liveRevoked(id: string): string {
    return `${this.prefix}.liverevoked.${id}`;
  }

  get revokedStream(): string {
    return `${this.prefix.toUpperCase()}_REVOKED`;
  }

  /** What hubs tell each other of who is in rooms. */
  get presence(): string {
    return `${this.prefix}.presence`;
  }

  /** The partition of an encoded room. */
  partitionOf(token: string): number {
    return fnv1a(token) % this.partitions;
  }
}

/** Room and key of a stored or live subject, as tokens. */
export function tokensOf(subject: string): { readonly room: string; readonly key: string | undefined } {
  const [, , , room = "", key] = subject.split(".");
  return { room, key };
}

/** Which streams: those of one name that do or do not keep state. */
export interface SetName {
  readonly name: string;
  readonly keyed: boolean;
  /** `-NAME`, or nothing. */
  readonly suffix: string;
}

/** @throws RangeError unless the name is empty, or 1 to 16 of a-z 0-9, a letter first, and not `key` or `ctl`. */
export function setName(name: string, keyed: boolean): SetName {
  if (name !== "" && (!NAME.test(name) || name === "key" || name === "ctl"))
    throw new RangeError(
      `the set ${JSON.stringify(name)} is not ${NAME_ALLOWED}, or is taken ("key", "ctl")`,
    );
  return Object.freeze({ name, keyed, suffix: name === "" ? "" : `-${name}` });
}

const PARTITIONS_MAX = 1_024;

const NAME = /^[a-z][a-z0-9]{0,15}$/;
const NAME_ALLOWED = "1 to 16 of a-z 0-9, a letter first";

/** The room as one token of a subject. */
export function encodeRoom(room: RoomName): string {
  return room.includes(".") ? room.replaceAll(".", "~") : room;
}

/** The room of a token; undefined where it is none: anybody can publish anything to NATS. */
export function decodeRoom(token: string): RoomName | undefined {
  if (token.includes(".")) return undefined;
  try {
    return parseRoom(token.replaceAll("~", "."));
  } catch (cause) {
    if (cause instanceof CodedError) return undefined;
    throw cause;
  }
}

/** In the place of a room: no room has this token. */
export const NO_ROOM = "~";

/** In the place of a key where there is none. */
export const NO_KEY = "~";

const EMPTY_KEY = "%";
const HASHED_KEY = "%%";
const KEY_TOKEN_MAX = 200;
const PLAIN_KEY = /^[A-Za-z0-9_:-]+$/;

/** A key as one token of a subject. */
export function encodeKey(key: string | undefined): string {
  if (key === undefined) return NO_KEY;
  if (key.length <= KEY_TOKEN_MAX && PLAIN_KEY.test(key)) return key;
  if (key === "") return EMPTY_KEY;
  const token = percentEncode(key);
  return token.length <= KEY_TOKEN_MAX
    ? token
    : HASHED_KEY + createHash("sha256").update(key).digest("base64url");
}

/**
 * The key of a token: text, `none` where the message has none, `hashed` where the header says it, `bad` where the
 * token is not what {@link encodeKey} makes of any key.
 */
export function decodeKey(token: string): { readonly key: string } | "none" | "hashed" | "bad" {
  if (PLAIN_KEY.test(token)) return { key: token };
  if (token === NO_KEY) return "none";
  if (token === EMPTY_KEY) return { key: "" };
  if (token.startsWith(HASHED_KEY)) return "hashed";
  const key = percentDecode(token);
  return key === undefined || encodeKey(key) !== token ? "bad" : { key };
}

/** Text with every byte of its UTF-8 but `A-Z a-z 0-9 _ - :` as `%` and two capital hex digits. */
export function percentEncode(text: string): string {
  return encodeURIComponent(text).replaceAll(/%3A|[!'()*.~]/g, (match) =>
    match === "%3A" ? ":" : `%${match.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** What {@link percentEncode} made; undefined where it is not valid. */
export function percentDecode(token: string): string | undefined {
  if (!/^(?:[A-Za-z0-9_:-]|%[0-9A-F]{2})*$/.test(token)) return undefined;
  try {
    return decodeURIComponent(token);
  } catch {
    return undefined;
  }
}

function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1)
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}
