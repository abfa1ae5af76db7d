import {
  Client,
  type ClientOptions,
  type Message,
  type SocketClass,
  type Subscription,
} from "../client/index.js";
import { CodedError } from "../protocol/errors.js";
import type { Position } from "../protocol/frames.js";
import { parseRoom } from "../protocol/room-name.js";
import { hasWildcard, parsePattern } from "../protocol/room-pattern.js";
import { jsonable } from "../protocol/transcode.js";
import { parsePosition } from "../server/http-query.js";
import { serverUrl } from "./endpoint.js";
import { countFlag, parseFlags } from "./flags.js";
import { type Command, type ExitCode, Failure, type Io, UsageError, writeLine } from "./io.js";

const HELP = `Follows rooms and prints a line of JSON a message: {room, offset, time, key?, data}.

  fanwire sub chat.lobby
  fanwire sub market.fx host.cpu
  fanwire sub --last 10 chat.lobby        the last ten messages first
  fanwire sub --state market.fx           the latest message of every key first
  fanwire sub --after x7f3:42 chat.lobby  everything after a position, as "pub" and the end of "sub" print it
  fanwire sub 'telemetry.*' 'log.>'       all rooms that a pattern means: * is one token, > one or more; live only
  fanwire sub --count 1 chat.lobby        end after one message

It goes on by itself after breaks, without a gap; where that cannot be (patterns never can), stderr says so. Bytes in data are printed as base64.

Flags:
  --last N
  --state
  --after EPOCH:OFFSET    for one room
  --count N               end after N messages
  --patience SECONDS      give up when there is no connection for so long (default: never)
  --token TOKEN           where the server asks for one [FANWIRE_TOKEN]; "fanwire token" mints one for development
  --url URL               the server [FANWIRE_URL, default http://127.0.0.1:9001]

Exit codes: 0 ended as asked (--count, Ctrl-C), 1 refused or given up, 2 wrong arguments.
`;

const FLAGS = {
  url: { type: "string" },
  last: { type: "string" },
  state: { type: "boolean" },
  after: { type: "string" },
  count: { type: "string" },
  patience: { type: "string" },
  token: { type: "string" },
} as const;

export const sub: Command = {
  name: "sub",
  summary: "follow rooms, a line of JSON a message",
  help: () => HELP,
  run: async (args, io) => {
    const { values, positionals } = parseFlags(args, FLAGS);
    const rooms = [...new Set(positionals)];
    if (rooms.length === 0) throw new UsageError("a ROOM is missing: fanwire sub ROOM");
    const patterns = rooms.filter(hasWildcard);
    usage(() => rooms.map((room) => (patterns.includes(room) ? parsePattern(room) : parseRoom(room))));
    const { after } = values;
    const start: Start = {
      ...(values.last !== undefined && { last: countFlag("last", values.last) ?? 1 }),
      ...(values.state && { state: true }),
      ...(after !== undefined && { after: usage(() => parsePosition(after)) }),
    };
    if (Object.keys(start).length > 1)
      throw new UsageError("--last, --state and --after: at most one of them");
    if (Object.keys(start).length > 0 && patterns.length > 0)
      throw new UsageError(
        `${patterns[0]} is a pattern, and live only: --last, --state and --after are for rooms`,
      );
    if (start.after !== undefined && rooms.length > 1)
      throw new UsageError("--after is a position in one room");
    return new Follower(io, {
      url: `${serverUrl(values.url, io.env)}/ws`,
      rooms,
      start,
      count: countFlag("count", values.count),
      token: values.token ?? (io.env.FANWIRE_TOKEN || undefined),
      patienceMs: (countFlag("patience", values.patience) ?? Number.POSITIVE_INFINITY) * 1_000,
    }).run();
  },
};

interface Start {
  readonly last?: number;
  readonly state?: boolean;
  readonly after?: Position;
}

interface Plan {
  readonly url: string;
  readonly rooms: readonly string[];
  readonly start: Start;
  readonly count: number | undefined;
  readonly patienceMs: number;
  readonly token: string | undefined;
}

/** One run of `fanwire sub`. */
class Follower {
  readonly #io: Io;
  readonly #plan: Plan;
  #left: number;
  /** Where each room can be gone on with: behind what was printed, which lags behind what has come. */
  readonly #positions = new Map<string, Position>();
  #awaySinceMs: number | undefined = performance.now();

  constructor(io: Io, plan: Plan) {
    this.#io = io;
    this.#plan = plan;
    this.#left = plan.count ?? Number.POSITIVE_INFINITY;
  }

  async run(): Promise<ExitCode> {
    const { url, rooms, start } = this.#plan;
    const client = new Client(url, { ...(await socketOptions()), token: this.#plan.token });
    let refusal: Failure | undefined;
    const end = () => client.close();
    this.#io.stop.addEventListener("abort", end, { once: true });
    const fail = (text: string, code?: string) => {
      refusal ??= new Failure(text, code);
      client.close();
    };
    const patience = this.#watch(client, fail);
    const subscriptions = rooms.map((room) => client.subscribe(room, start));
    for (const subscription of subscriptions) this.#report(subscription, fail);
    // Taken in the turn of subscribe, so that no message is missed.
    const loops = subscriptions.map((subscription) =>
      this.#print(subscription[Symbol.asyncIterator](), client),
    );
    if (this.#io.stop.aborted) client.close();
    const outcomes = await Promise.allSettled(loops);
    clearInterval(patience);
    client.close();
    this.#io.stop.removeEventListener("abort", end);
    for (const [room, position] of this.#positions)
      this.#say(`${room}: go on with --after ${textOf(position)}`);
    if (refusal !== undefined) throw refusal;
    const broken = outcomes.find((outcome) => outcome.status === "rejected");
    if (broken !== undefined) throw failureOf(broken.reason);
    return 0;
  }

  async #print(messages: AsyncIterator<Message>, client: Client): Promise<void> {
    for (;;) {
      const next = await messages.next();
      if (next.done || this.#left <= 0) return;
      this.#left -= 1;
      await writeLine(this.#io.stdout, lineOf(next.value));
      const { room, epoch, offset } = next.value;
      if (epoch !== "") this.#positions.set(room, { epoch, offset });
      if (this.#left <= 0) client.close();
    }
  }

  /** Tells what the connection does, and gives up where it is asked to. */
  #watch(client: Client, fail: (text: string, code?: string) => void): NodeJS.Timeout {
    const { url, patienceMs } = this.#plan;
    let told = "";
    client.on("state", (state) => {
      if (state.kind === "open" && this.#awaySinceMs !== undefined) {
        this.#awaySinceMs = undefined;
        this.#say(`connected to ${url}`);
        told = "";
      }
      if (state.kind === "waiting") {
        this.#awaySinceMs ??= performance.now();
        // Once a reason: attempts go on for as long as it takes.
        if (told !== state.reason)
          this.#say(`no connection to ${url} (${state.reason}); trying again until there is one`);
        told = state.reason;
      }
      if (state.kind === "closed" && state.code !== 1000)
        fail(`the server closed the connection: ${state.code} ${state.reason}`);
    });
    client.on("error", (error) => this.#say(`${error.code}: ${error.message}`));
    return setInterval(() => {
      const awayMs = this.#awaySinceMs === undefined ? 0 : performance.now() - this.#awaySinceMs;
      if (awayMs >= patienceMs) fail(`no connection to ${url} for ${patienceMs / 1_000} s`, "unavailable");
    }, 100);
  }

  #report(subscription: Subscription, fail: (text: string, code?: string) => void): void {
    const { room } = subscription;
    subscription.on("subscribed", ({ position }) => {
      if (position !== undefined && !this.#positions.has(room)) this.#positions.set(room, position);
      this.#say(`subscribed to ${room}${position === undefined ? "" : ` after ${textOf(position)}`}`);
    });
    subscription.on("reset", ({ reason, position }) => {
      if (position !== undefined) this.#positions.set(room, position);
      const gone = hasWildcard(room) ? "messages may be missing" : "messages before are gone";
      this.#say(`${room}: continuity is lost (${reason}); ${gone}`);
    });
    subscription.on("error", (error) => {
      this.#say(`${room}: ${error.code}: ${error.message}`);
    });
    subscription.on("state", (state) => {
      if (state.kind === "failed") fail(`${room}: ${state.error.message}`, state.error.code);
    });
  }

  #say(text: string): void {
    this.#io.stderr.write(`${text}\n`);
  }
}

function lineOf({ room, offset, time, key, data }: Message): string {
  return JSON.stringify({ room, offset, time, key, data: jsonable(data) });
}

function textOf({ epoch, offset }: Position): string {
  return `${epoch}:${offset}`;
}

/** Node 20 has no WebSocket of its own. */
async function socketOptions(): Promise<ClientOptions> {
  if ("WebSocket" in globalThis) return {};
  const { WebSocket } = await import("ws");
  const socketClass: SocketClass = WebSocket;
  return { WebSocket: socketClass };
}

function failureOf(cause: unknown): Error {
  if (cause instanceof Error && "code" in cause) return new Failure(cause.message, String(cause.code));
  return cause instanceof Error ? cause : new Error(String(cause));
}

function usage<T>(parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw cause instanceof CodedError ? new UsageError(cause.message) : cause;
  }
}
