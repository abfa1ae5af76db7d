import { CodedError } from "./errors.js";
import { type ClientInput, CODE } from "./frames.js";
import { invalid, parseRequest, REF_MAX } from "./parse-request.js";
import { Scanner } from "./scan.js";
import { readText } from "./text.js";
import { readUint } from "./uint.js";
import { decodeValue } from "./value.js";
import type { DecodeLimits } from "./wire.js";

const scanner = new Scanner();
const starts: number[] = [];

/**
 * Decodes one WebSocket message of a client: values back to back, none in an empty one. Data of a publish is a
 * view into `payload`, checked by the scanner. What is wrong with one value alone becomes an `invalid` in its place.
 * @throws CodedError `bad_request` where the bytes are no whole values, `too_large` where a limit is passed:
 *   nothing of the message counts.
 */
export function decodeClient(payload: Uint8Array, limits: DecodeLimits): ClientInput[] {
  const inputs: ClientInput[] = [];
  let at = 0;
  while (at < payload.length) {
    if (inputs.length >= limits.values) throw tooManyValues(limits.values);
    scanner.begin(payload, limits.elements);
    const end = scanner.array(at, limits.depth, starts);
    if (end < 0) {
      at = scanner.value(at, limits.depth);
      inputs.push(invalid(0, new CodedError("bad_request", "a request is an array [code, ref, …]")));
    } else {
      at = end;
      inputs.push(requestAt(payload, limits));
    }
  }
  return inputs;
}

/** The error of a WebSocket message with more values than allowed. */
export function tooManyValues(allowed: number): CodedError {
  return new CodedError("too_large", `more than ${allowed} values in one WebSocket message`);
}

// `starts` holds where the value's elements start.
function requestAt(payload: Uint8Array, limits: DecodeLimits): ClientInput {
  if (scanner.problem !== undefined) return unfit(payload, scanner.problem);
  const code = elementAt(payload, 0);
  const args =
    code === CODE.publish
      ? [elementAt(payload, 2), bytesAt(payload, 3), elementAt(payload, 4)]
      : [elementAt(payload, 2), elementAt(payload, 3)];
  return parseRequest(code, elementAt(payload, 1), args, limits);
}

function unfit(payload: Uint8Array, problem: string): ClientInput {
  const ref = starts.length > 2 ? readUint(payload, starts[1] ?? 0) : 0;
  return invalid(ref >= 0 && ref <= REF_MAX ? ref : 0, new CodedError("bad_request", problem));
}

function bytesAt(payload: Uint8Array, index: number): Uint8Array | undefined {
  const end = starts[index + 1];
  return end === undefined ? undefined : payload.subarray(starts[index], end);
}

// Integers and text, of which requests mostly consist, are read by hand: a decoder call costs several times as much.
function elementAt(payload: Uint8Array, index: number): unknown {
  const start = starts[index];
  const end = starts[index + 1];
  if (start === undefined || end === undefined) return undefined;
  const uint = readUint(payload, start);
  return uint >= 0 ? uint : (readText(payload, start) ?? decodeValue(payload.subarray(start, end)));
}
