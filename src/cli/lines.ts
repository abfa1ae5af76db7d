import type { Readable } from "node:stream";
import { Failure } from "./io.js";

/** No message is nearly as long; without an end to it, a file without line breaks would fill the memory. */
const LINE_CHARS_MAX = 16_777_216;

/** The lines of a stream, without their line breaks, until the signal is aborted. @throws Failure where a line has no end in sight. */
export async function* linesOf(stream: Readable, over: AbortSignal): AsyncGenerator<string> {
  const end = () => stream.destroy();
  over.addEventListener("abort", end, { once: true });
  try {
    yield* split(stream);
  } catch (cause) {
    // A destroyed stream ends with an error of its own.
    if (!over.aborted) throw cause;
  } finally {
    over.removeEventListener("abort", end);
  }
}

async function* split(stream: Readable): AsyncGenerator<string> {
  stream.setEncoding("utf8");
  let rest = "";
  for await (const chunk of stream) {
    const lines = `${rest}${chunk}`.split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > LINE_CHARS_MAX)
      throw new Failure(`a line of stdin is longer than ${LINE_CHARS_MAX} characters`);
    yield* lines.map((line) => (line.endsWith("\r") ? line.slice(0, -1) : line));
  }
  if (rest !== "") yield rest;
}
