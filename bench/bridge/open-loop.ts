import { Agent, request } from "node:http";
import { decode, encode } from "@msgpack/msgpack";
import { hostMicros } from "../support/clock.js";
import { Histogram } from "../support/histogram.js";
import { benchRoom, createContent, setDue } from "../support/message-scan.js";

/** Enough that requests which take long hold up none that are due. */
const CONNECTIONS = 32;
const FAILURES_TOLD = 3;
/** The timer's step: what is due within it goes into one request. */
const STEP_MS = 1;
/** Messages in one request, where the publisher is late. */
const BATCH_MAX = 500;

/** What one run of {@link OpenLoop} came to. */
export interface OpenLoopRun {
  readonly messages: number;
  /** How long after its time in the plan a message was sent. */
  readonly late: Histogram;
  /** From its time in the plan to the acknowledgement. */
  readonly acknowledged: Histogram;
  readonly failures: readonly string[];
}

/**
 * Publishes to a node over HTTP by a plan that no slow answer changes: each message is due at its own time, carries it,
 * and is sent when it is due or, when late, at once.
 */
export class OpenLoop {
  readonly #port: number;
  readonly #bytes: number;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  /** By room, of all that was acknowledged. */
  readonly offsets: number[][];
  readonly epochs: string[];

  constructor(port: number, rooms: number, bytes: number) {
    this.#port = port;
    this.#bytes = bytes;
    this.offsets = Array.from({ length: rooms }, () => []);
    this.epochs = Array.from({ length: rooms }, () => "");
  }

  /** Last offset by room; null where nothing was published. */
  get heads(): (number | null)[] {
    return this.offsets.map((offsets) =>
      offsets.reduce<number | null>((most, one) => Math.max(most ?? 0, one), null),
    );
  }

  /** Evenly over time, to the rooms in turn, until `isOver` or so many seconds have passed; resolves when all are answered. */
  async run(
    rooms: readonly number[],
    perSecond: number,
    seconds: number,
    isOver: () => boolean = () => false,
  ): Promise<OpenLoopRun> {
    const late = new Histogram();
    const acknowledged = new Histogram();
    const failures: string[] = [];
    const answers: Promise<void>[] = [];
    const total = Math.round(perSecond * seconds);
    const start = hostMicros();
    const dueOf = (number: number): number => start + (number * 1_000_000) / perSecond;
    let next = 0;
    await new Promise<void>((resolve) => {
      const step = (): void => {
        const now = hostMicros();
        while (next < total && dueOf(next) <= now) {
          const batch: { readonly room: number; readonly due: number }[] = [];
          for (; next < total && batch.length < BATCH_MAX && dueOf(next) <= now; next += 1) {
            const due = dueOf(next);
            late.record(now - due);
            batch.push({ room: rooms[next % rooms.length] ?? 0, due });
          }
          answers.push(this.#publish(batch, acknowledged, failures));
        }
        if (next >= total || isOver()) resolve();
        else setTimeout(step, STEP_MS);
      };
      step();
    });
    await Promise.all(answers);
    return { messages: next, late, acknowledged, failures };
  }

  close(): void {
    this.#agent.destroy();
  }

  async #publish(
    batch: readonly { readonly room: number; readonly due: number }[],
    acknowledged: Histogram,
    failures: string[],
  ): Promise<void> {
    const items = batch.map(({ room, due }) => {
      const data = createContent(this.#bytes);
      setDue(data, due);
      return { room: benchRoom(room), data };
    });
    try {
      const results = await post(this.#agent, this.#port, encode(items));
      const now = hostMicros();
      for (const [index, { room, due }] of batch.entries()) {
        const { offset, epoch } = results[index] ?? {};
        if (typeof offset !== "number" || typeof epoch !== "string")
          throw new Error(`a publish was answered with ${JSON.stringify(results[index])}`);
        this.offsets[room]?.push(offset);
        this.epochs[room] = epoch;
        acknowledged.record(now - due);
      }
    } catch (cause) {
      if (failures.length < FAILURES_TOLD) failures.push(String(cause));
      else failures[FAILURES_TOLD] = "and more";
    }
  }
}

interface Result {
  readonly offset?: unknown;
  readonly epoch?: unknown;
}

function post(agent: Agent, port: number, body: Uint8Array): Promise<readonly Result[]> {
  const headers = {
    "content-type": "application/msgpack",
    accept: "application/msgpack",
    "content-length": body.length,
  };
  return new Promise((resolve, reject) => {
    const posted = request(
      { agent, host: "127.0.0.1", port, method: "POST", path: "/v1/messages", headers },
      (response) => {
        const parts: Buffer[] = [];
        response.on("data", (part: Buffer) => parts.push(part));
        response.once("error", reject);
        response.once("end", () => {
          try {
            const answer = decode(Buffer.concat(parts));
            if (response.statusCode === 200 && Array.isArray(answer)) resolve(answer as Result[]);
            else
              reject(
                new Error(`publishing was answered with ${response.statusCode} ${JSON.stringify(answer)}`),
              );
          } catch (cause) {
            reject(cause);
          }
        });
      },
    );
    posted.once("error", reject);
    posted.end(body);
  });
}
