import { clientElements } from "./client-elements.js";
import { CodedError } from "./errors.js";
import type { ClientFrame, ServerFrame } from "./frames.js";
import { parseServerFrame } from "./server-frame.js";

/** Encodes one request for `fanwire.v1.json`: a line, which ends. */
export function encodeClientJson(frame: ClientFrame): string {
  return `${JSON.stringify(clientElements(frame))}\n`;
}

/** Decodes one WebSocket message of a server that speaks `fanwire.v1.json`. @throws CodedError `bad_request` */
export function decodeServerJson(text: string): ServerFrame[] {
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .flatMap((line) => frameOf(line) ?? []);
}

function frameOf(line: string): ServerFrame | undefined {
  try {
    const elements: unknown = JSON.parse(line);
    if (Array.isArray(elements)) return parseServerFrame(elements);
  } catch (cause) {
    throw new CodedError("bad_request", cause instanceof Error ? cause.message : String(cause));
  }
  throw new CodedError("bad_request", "the server sent a value that is no array");
}
