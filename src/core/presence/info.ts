import { CodedError } from "../../protocol/errors.js";
import type { SubscribeOptions } from "../../protocol/frames.js";
import { utf8Length } from "../../protocol/text.js";
import { dataFromValue, jsonFromData } from "../../protocol/transcode.js";
import type { Counters } from "../counters.js";
import type { Limits } from "../limits.js";

/** Data of members, until their subscriptions have been answered. No field of those: most never have any. */
export const INFOS = new WeakMap<object, Uint8Array>();

/**
 * What a subscribe says of its member, as MessagePack; undefined: nothing.
 * @throws CodedError `too_large` above the limit, in either sub-protocol; `bad_request` where it is nothing that data may be.
 */
export function infoOf(
  { info }: SubscribeOptions,
  limits: Limits,
  counters: Counters,
): Uint8Array | undefined {
  if (info === undefined) return undefined;
  const bytesMax = limits.presenceInfoBytes;
  try {
    const bytes = dataFromValue(info, { ...limits, dataBytes: bytesMax });
    const json = utf8Length(jsonFromData(bytes));
    if (json <= bytesMax) return bytes;
    throw new CodedError("too_large", `data has ${json} bytes as JSON, at most ${bytesMax} are allowed`);
  } catch (cause) {
    counters.presenceInfosRefused += 1;
    throw cause instanceof CodedError ? new CodedError(cause.code, `info: ${cause.message}`) : cause;
  }
}
