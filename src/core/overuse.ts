import { CodedError } from "../protocol/errors.js";
import { type AllowanceMark, type Allowances, allowanceVerdict } from "./allowance.js";
import type { Counters } from "./counters.js";
import type { Limits } from "./limits.js";

/** What of the engine is needed here. */
interface House {
  readonly allowances: Allowances;
  readonly limits: Limits;
  readonly counters: Counters;
}

/** When who was closed for a flood may come back. */
const FLOOD_RETRY_MS = 1_000;

/** What to tell who sends more than allowed; undefined where that is not so. */
export function overuseOf(
  { allowances, limits, counters }: House,
  requestsMark: AllowanceMark,
  bytesMark: AllowanceMark,
  clock: number,
): CodedError | undefined {
  const requests = allowanceVerdict(requestsMark, allowances.requests, clock);
  if (requests.kind === "over") {
    counters.requestsOverRate += 1;
    return overRate(`${limits.requestsPerSecond} requests`, requests.retryMs);
  }
  const bytes = allowanceVerdict(bytesMark, allowances.bytes, clock);
  if (bytes.kind !== "over") return undefined;
  counters.bytesOverRate += 1;
  return overRate(`${limits.receivedBytesPerSecond} bytes`, bytes.retryMs);
}

/** What to tell who was told to send less and did not, before it is closed; undefined where that is not so. */
export function floodOf(
  { allowances, counters }: House,
  requestsMark: AllowanceMark,
  bytesMark: AllowanceMark,
  clock: number,
): CodedError | undefined {
  const floods =
    allowanceVerdict(requestsMark, allowances.requests, clock).kind === "flood" ||
    allowanceVerdict(bytesMark, allowances.bytes, clock).kind === "flood";
  if (!floods) return undefined;
  counters.floodCloses += 1;
  const text = "too many messages: told rate_limited, and went on";
  return new CodedError("rate_limited", text, FLOOD_RETRY_MS);
}

function overRate(allowed: string, retryMs: number): CodedError {
  return new CodedError("rate_limited", `a connection may send ${allowed} a second`, retryMs);
}
