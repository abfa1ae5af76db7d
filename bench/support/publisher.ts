import { Agent, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { decode, encode } from "@msgpack/msgpack";
import { hostMicros } from "./clock.js";
import { benchRoom, createContent, setDue } from "./message-scan.js";
import { type PublishPlan, planShots, runShots, type Shot } from "./schedule.js";

/** A few connections, as publishes overlap when the server is slow; each is kept alive. */
const CONNECTIONS = 4;
/** Lets server and subscribers become quiet before the first shot; no longer than the window is. */
const REST_MICROS_MAX = 300_000;
const RETRY_MS = 50;
const RETRIES_MAX = 300;

export interface PublisherOptions {
  /** Default: 127.0.0.1. */
  readonly host?: string;
  readonly port: number;
  /** Bytes of a message's data. */
  readonly bytes: number;
  /**
   * Whether a batch that was refused or got no answer is sent again, with ids that make the server store it once, and
   * without the time it was due (NaN). Without, such a batch is an error.
   */
  readonly retry?: boolean;
}

/** Publishes over HTTP, from this process, as an application would: a batch a request to `POST /v1/messages`. */
export class Publisher {
  readonly #options: PublisherOptions;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  readonly #content: Buffer;
  readonly #name = Math.random().toString(36).slice(2, 10);
  /** Last offset by room; null where nothing was published. */
  readonly heads: (number | null)[];
  #batches = 0;
  #retries = 0;

  constructor(rooms: number, options: PublisherOptions) {
    this.#options = options;
    this.#content = createContent(options.bytes);
    this.heads = Array.from({ length: rooms }, () => null);
  }

  /** Batches that were sent again. */
  get retries(): number {
    return this.#retries;
  }

  /** One batch into a room; resolves when it is stored. @throws Error for any refusal, where it is not to retry. */
  async publish({ room, dueMicros }: Shot, burst: number): Promise<void> {
    this.#batches += 1;
    const name = `${this.#name}-${this.#batches}`;
    const encodeDue = (due: number): Uint8Array => {
      setDue(this.#content, due);
      const item = { room: benchRoom(room), data: this.#content };
      const withId = (at: number): object =>
        this.#options.retry === true ? { ...item, id: `${name}-${at}` } : item;
      return encode(Array.from({ length: burst }, (_, at) => withId(at)));
    };
    const offset = await this.#send(encodeDue(dueMicros), () => encodeDue(Number.NaN));
    this.heads[room] = Math.max(this.heads[room] ?? 0, offset);
  }

  close(): void {
    this.#agent.destroy();
  }

  async #send(first: Uint8Array, again: () => Uint8Array): Promise<number> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await post(this.#agent, this.#options, attempt === 1 ? first : again());
      } catch (cause) {
        if (this.#options.retry !== true || attempt >= RETRIES_MAX) throw cause;
        this.#retries += 1;
        await sleep(RETRY_MS);
      }
    }
  }
}

/** Publishes a plan. Returns each room's last offset, by its number, when all are answered. @throws Error for any refusal. */
export async function publishOverHttp(
  { host, port }: Pick<PublisherOptions, "host" | "port">,
  plan: PublishPlan,
): Promise<number[]> {
  const publisher = new Publisher((plan.firstRoom ?? 0) + plan.rooms, {
    ...(host === undefined ? {} : { host }),
    port,
    bytes: plan.bytes,
  });
  const answers: Promise<void>[] = [];
  try {
    const restMicros = Math.min(REST_MICROS_MAX, plan.seconds * 1e6);
    await runShots(planShots(plan, hostMicros() + restMicros), (shot) => {
      const answer = publisher.publish(shot, plan.burst);
      // A failure is told when all shots are fired; until then nobody waits for it.
      answer.catch(() => {});
      answers.push(answer);
    });
    await Promise.all(answers);
  } finally {
    publisher.close();
  }
  return publisher.heads.map((head) => head ?? 0);
}

/** Publishing that goes on beside what is measured. */
export interface Stream {
  /** Ends it, and resolves with the number of messages when all of them are stored. */
  stop(): Promise<number>;
}

/** Publishes a message at a time at an even rate, to the rooms `firstRoom` and up in turn, until it is stopped. */
export function startStream(
  publisher: Publisher,
  { firstRoom, rooms, perSecond }: { firstRoom: number; rooms: number; perSecond: number },
): Stream {
  const startMicros = hostMicros();
  const answers: Promise<void>[] = [];
  let failure: unknown;
  const fire = (): void => {
    for (;;) {
      const number = answers.length;
      const dueMicros = startMicros + (number * 1_000_000) / perSecond;
      if (dueMicros > hostMicros()) return;
      const published = publisher.publish({ room: firstRoom + (number % rooms), dueMicros }, 1);
      answers.push(
        published.catch((cause: unknown) => {
          failure ??= cause;
        }),
      );
    }
  };
  const timer = setInterval(fire, 2);
  return {
    stop: async () => {
      clearInterval(timer);
      await Promise.all(answers);
      if (failure !== undefined) throw failure;
      return answers.length;
    },
  };
}

/** Resolves with the last message's offset. */
function post(
  agent: Agent,
  { host = "127.0.0.1", port }: PublisherOptions,
  body: Uint8Array,
): Promise<number> {
  const headers = {
    "content-type": "application/msgpack",
    accept: "application/msgpack",
    "content-length": body.length,
  };
  return new Promise((resolve, reject) => {
    const posted = request(
      { agent, host, port, method: "POST", path: "/v1/messages", headers },
      (response) => {
        const parts: Buffer[] = [];
        response.on("data", (part: Buffer) => parts.push(part));
        response.once("error", reject);
        response.once("end", () => {
          try {
            resolve(lastOffset(response.statusCode, decode(Buffer.concat(parts))));
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

function lastOffset(status: number | undefined, answer: unknown): number {
  const offsets = Array.isArray(answer) ? answer.map((result: { offset?: unknown }) => result.offset) : [];
  const last: unknown = offsets.at(-1);
  if (status === 200 && offsets.every((offset) => typeof offset === "number") && typeof last === "number")
    return last;
  throw new Error(`publishing was answered with ${status} ${JSON.stringify(answer)}`);
}
