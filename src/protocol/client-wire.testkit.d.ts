import { type ClientFrame, type ServerFrame } from "./frames.js";
/**
 * Encodes one request for `fanwire.v1`. Fields of objects that are undefined are left out.
 * @throws CodedError `bad_request` where the data is no MessagePack (a function, a symbol, a bigint, a circle).
 */
export declare function encodeClient(frame: ClientFrame): Uint8Array;
/**
 * Decodes one WebSocket message of a server. Values of unknown code are left out; a message whose data does not
 * decode has an {@link UndecodableData} as its data; an error code or reset reason of a later version becomes
 * `internal` or `epoch`. Bytes in data are views into `payload`.
 * @throws CodedError `bad_request` where the bytes are not what a server sends: nothing of the message counts,
 *   and the connection is of no more use.
 */
export declare function decodeServer(payload: Uint8Array): ServerFrame[];
