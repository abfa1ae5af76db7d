import { type Api, errorText, postJson } from "./api.js";
import { type ExitCode, Failure, type Io, writeLine } from "./io.js";
import { linesOf } from "./lines.js";

export interface LineOptions {
  readonly room: string;
  readonly key: string | undefined;
  /** Lines are text, not JSON. */
  readonly text: boolean;
}

/** One request's worth: below what a server takes by default, and small enough to be answered soon. */
const BATCH_MESSAGES = 1_000;
const BATCH_CHARS = 262_144;

interface Batch {
  /** Numbers of the items' lines. */
  readonly lines: number[];
  readonly items: string[];
  chars: number;
}

/** Publishes a message a line of stdin, until it ends; prints a summary. */
export async function pubLines(api: Api, options: LineOptions, io: Io): Promise<ExitCode> {
  if (io.stdin.isTTY) io.stderr.write("one message a line, as JSON; Ctrl-D ends\n");
  const startMs = performance.now();
  const publisher = new LinePublisher(api, io);
  let number = 0;
  for await (const line of linesOf(io.stdin, AbortSignal.any([publisher.failed, io.stop]))) {
    number += 1;
    if (line.trim() === "") continue;
    if (options.text) await publisher.add(number, itemJson(options, JSON.stringify(line)));
    else if (isJson(line)) await publisher.add(number, itemJson(options, line));
    else publisher.refuse(number, "bad_request: not JSON (--text publishes lines as text)");
  }
  await publisher.flush();
  const seconds = (performance.now() - startMs) / 1_000;
  const rate = Math.round(publisher.published / Math.max(seconds, 0.001));
  await writeLine(
    io.stdout,
    `published ${publisher.published} messages in ${seconds.toFixed(1)} s (${rate}/s)`,
  );
  if (publisher.failure !== undefined) throw publisher.failure;
  return publisher.refused === 0 ? 0 : 1;
}

export function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/**
 * One request after the other, so that the order holds; while one is under way the next fills up. A first line so goes
 * out at once, and a flood in few requests.
 */
class LinePublisher {
  published = 0;
  refused = 0;
  /** Why no further line can be published. */
  failure: Error | undefined;
  readonly #api: Api;
  readonly #io: Io;
  readonly #failed = new AbortController();
  #batch: Batch = { lines: [], items: [], chars: 0 };
  #sending: Promise<void> | undefined;

  constructor(api: Api, io: Io) {
    this.#api = api;
    this.#io = io;
  }

  /** Aborted with {@link LinePublisher.failure}. */
  get failed(): AbortSignal {
    return this.#failed.signal;
  }

  /** Waits while there is too much to be sent. */
  async add(line: number, item: string): Promise<void> {
    while (this.#sending !== undefined && !fits(this.#batch, item)) await this.#sending;
    this.#batch.lines.push(line);
    this.#batch.items.push(item);
    this.#batch.chars += item.length;
    this.#send();
  }

  refuse(line: number, problem: string): void {
    this.refused += 1;
    this.#io.stderr.write(`line ${line}: ${problem}\n`);
  }

  /** Waits until all is published, or failed. */
  async flush(): Promise<void> {
    while (this.#sending !== undefined) await this.#sending;
  }

  #send(): void {
    if (this.#sending !== undefined || this.failure !== undefined || this.#batch.items.length === 0) return;
    const batch = this.#batch;
    this.#batch = { lines: [], items: [], chars: 0 };
    this.#sending = this.#post(batch)
      .catch((cause: unknown) => {
        this.failure = cause instanceof Error ? cause : new Error(String(cause));
        this.#failed.abort();
      })
      .finally(() => {
        this.#sending = undefined;
        this.#send();
      });
  }

  async #post({ lines, items }: Batch): Promise<void> {
    const results = await postJson(this.#api, "/v1/messages", `[${items.join(",")}]`).catch(
      (cause: unknown) => {
        // A line that is too long for any request is no reason to give the others up.
        if (items.length === 1 && cause instanceof Failure && cause.code === "too_large") return [cause];
        throw cause;
      },
    );
    if (!Array.isArray(results) || results.length !== items.length)
      throw new Failure(`${this.#api.url} does not answer as fanwire does`, "internal");
    for (const [i, line] of lines.entries()) {
      const result: unknown = results[i];
      const problem = result instanceof Failure ? result.message : errorText(result);
      if (problem === undefined) this.published += 1;
      else this.refuse(line, problem);
    }
  }
}

/** A line longer than a whole batch gets one of its own. */
function fits({ items, chars }: Batch, item: string): boolean {
  return items.length === 0 || (items.length < BATCH_MESSAGES && chars + item.length <= BATCH_CHARS);
}

/** Data stays the text that it came as: there is no need to build it here only to take it apart again. */
function itemJson({ room, key }: LineOptions, data: string): string {
  const last = key === undefined ? "" : `,"key":${JSON.stringify(key)}`;
  return `{"room":${JSON.stringify(room)},"data":${data}${last}}`;
}
