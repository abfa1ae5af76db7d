import type { Outgoing } from "../core/ports.js";
import { batchFromJson, batchFromMsgpack } from "../protocol/batch.js";
import { CodedError } from "../protocol/errors.js";
import { parseKey } from "../protocol/parse-request.js";
import { checkData, type DataLimits, dataFromJson } from "../protocol/transcode.js";
import type { BodyKind } from "./http-format.js";

export interface PublishLimits extends DataLimits {
  readonly keyBytes: number;
  readonly batchMessages: number;
}

/** One message of a batch, or why it cannot be published; the others are not affected. */
export type BatchItem = Outgoing | CodedError;

/** A body as one message's data: MessagePack is checked and passed on, JSON becomes MessagePack. @throws CodedError */
export function dataOfBody(kind: BodyKind, body: Uint8Array, limits: DataLimits): Uint8Array {
  return kind === "json" ? dataFromJson(body, limits) : checkData(body, limits);
}

/**
 * The `Fanwire-Key` header: UTF-8, percent-encoded as `encodeURIComponent` does it; `%` itself is `%25`. Other
 * characters than ASCII are refused, since they do not come through as they are: uWebSockets.js takes such bytes at
 * either end of a header for white space. @throws CodedError `bad_request`
 */
export function keyOfHeader(header: string | undefined, keyBytes: number): string | undefined {
  if (header === undefined) return undefined;
  if (!/^[\x20-\x7e]*$/.test(header))
    throw bad("the Fanwire-Key header is not ASCII: percent-encode it as UTF-8");
  let key: string;
  try {
    key = decodeURIComponent(header);
  } catch {
    throw bad("the Fanwire-Key header is not percent-encoded UTF-8 (% itself is %25)");
  }
  return parseKey(key, keyBytes);
}

/**
 * A body as a batch `[{room, data, key?, id?}]`. What is wrong with one item stands in its place.
 * @throws CodedError where the body as a whole is no batch, or one of too many items.
 */
export function batchOfBody(kind: BodyKind, body: Uint8Array, limits: PublishLimits): BatchItem[] {
  const batchLimits = { ...limits, items: limits.batchMessages };
  return kind === "json" ? batchFromJson(body, batchLimits) : batchFromMsgpack(body, batchLimits);
}

function bad(message: string): CodedError {
  return new CodedError("bad_request", message);
}
