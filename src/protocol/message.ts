import type { RoomName } from "./room-name.js";

/**
 * One published message with its `fanwire.v1` frame, encoded once when the broker numbered it. The same bytes
 * go to the ring, to every socket and to other processes; data is a range of them and is never decoded on the way.
 */
export interface Message {
  readonly room: RoomName;
  /** 0 in an ephemeral room, else strictly increasing in its room. */
  readonly offset: number;
  /** Offset of the message before this one in the room, 0 where there is none. */
  readonly prev: number;
  /** Milliseconds since 1970, when the broker took it. */
  readonly time: number;
  readonly key: string | undefined;
  /** The session that published it over a socket, so that `echo: false` can leave it out. Never on the wire. */
  readonly origin: string | undefined;
  /** `[19, room, offset, prev, time, data, key?]` as MessagePack. Nobody writes to it. */
  readonly frame: Uint8Array;
  /** `frame.subarray(dataStart, dataEnd)` is the data. */
  readonly dataStart: number;
  readonly dataEnd: number;
}

export interface MessageFields {
  readonly room: RoomName;
  readonly offset: number;
  readonly prev: number;
  readonly time: number;
  /** One MessagePack value, already checked by the scanner. Copied. */
  readonly data: Uint8Array;
  readonly key?: string | undefined;
  readonly origin?: string | undefined;
}

/** Encodes the frame once. */
export declare function createMessage(fields: MessageFields): Message;
/** The frame with another `prev` (a snapshot, or one with own messages left out), data spliced as bytes. */
export declare function frameWithPrev(message: Message, prev: number): Uint8Array;
/** The data as MessagePack bytes: a view, not a copy. */
export declare function dataOf(message: Message): Uint8Array;
