/** A process of clients that subscribe with options, may publish, and may stop reading. Runs as a child of a bench. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { decode, encode } from "@msgpack/msgpack";
import { Link, type LinkEnd, type LinkOwner } from "../fleet/link.js";
import { answerParent } from "../support/child.js";
import { hostMicros } from "../support/clock.js";
import { Histogram } from "../support/histogram.js";
import { codeAt, createContent, setDue, skipValue } from "../support/message-scan.js";
import { refusalText } from "../support/refused.js";
import { clientFrame, OPCODE } from "../support/websocket.js";
import type { AudiencePhase, AudiencePlan, AudienceReply, AudienceRequest } from "./audience-protocol.js";

const CODE = { ok: 17, error: 18, message: 19, live: 20, lagged: 21, rate: 25 };
const FAILURES_MAX = 5;
const MOVE_TIMER_MS = 2;
const RETRY_MS = 300;
/** How long they try to come in. */
const CONNECT_MS = 140_000;
/** What passes: of these codes and statuses a client tries again. */
const PASSING_CODES: readonly unknown[] = ["rate_limited", "unavailable", "timeout"];
const PASSING_STATUSES = [429, 503];

/** It measures from one of its timers to the next. */
const LOOP_TIMER_MS = 1;
const loop = monitorEventLoopDelay({ resolution: LOOP_TIMER_MS });
loop.enable();

class Counts {
  startMicros = hostMicros();
  messages = 0;
  frames = 0;
  bytes = 0;
  lost = 0;
  lagged = 0;
  moved = 0;
  readonly ageMicros = new Histogram();
  readonly failures: string[] = [];
  refusal: string | undefined;

  fail(what: string): void {
    if (this.failures.length < FAILURES_MAX) this.failures.push(what);
  }

  take(): AudiencePhase {
    const { messages, frames, bytes, lost, lagged, moved, refusal } = this;
    const ageMicros = this.ageMicros.toJSON();
    const seconds = (hostMicros() - this.startMicros) / 1_000_000;
    const loopLateMicros = Math.max(0, loop.percentile(99) / 1_000 - 1_000 * LOOP_TIMER_MS);
    loop.reset();
    const failures = [...this.failures];
    const seen = { seconds, messages, frames, bytes, lost, lagged, moved };
    return { ...seen, ageMicros, loopLateMicros, refusal, failures };
  }
}

let counts = new Counts();

/** Whom a client tells how it gets in. */
interface Door {
  live(): void;
  /** Not this time; it tries again. */
  delayed(why: string): void;
  /** For good: trying again would not help. */
  refused(refusal: string): void;
}

/** One connection. Checks `prev` and offsets as every client must; its positions serve to resume after `lagged`. */
class Client implements LinkOwner {
  readonly #plan: AudiencePlan;
  readonly #door: Door;
  #link: Link;
  readonly #positions = new Map<string, { epoch: string; offset: number }>();
  #livesDue: number;
  #left = false;

  constructor(plan: AudiencePlan, door: Door) {
    this.#plan = plan;
    this.#door = door;
    this.#livesDue = plan.rooms.length;
    this.#link = this.#connect();
  }

  connected(): void {}

  switched(): void {
    this.#subscribe();
  }

  read(bytes: number): void {
    counts.bytes += bytes;
  }

  readonly frame = (opcode: number, bytes: Buffer, start: number, end: number): void => {
    if (opcode !== OPCODE.binary) return;
    counts.frames += 1;
    for (let at = start; at < end; ) {
      const next = skipValue(bytes, at);
      this.#value(codeAt(bytes, at), bytes.subarray(at, next));
      at = next;
    }
  };

  /** Before it was live it comes again: servers let clients in at a rate. */
  ended(end: LinkEnd): void {
    if (this.#livesDue === 0) {
      counts.lost += 1;
      if (end.kind !== "closed") counts.fail(`a connection ended: ${end.kind}`);
      return;
    }
    const why = end.kind === "refused" ? `a handshake was answered with ${end.status}` : end.why;
    // Who was let in and then closed was told why before.
    if (end.kind !== "closed") this.#door.delayed(why);
    if (end.kind === "refused" && !PASSING_STATUSES.includes(end.status)) {
      this.#door.refused(why);
      return;
    }
    this.#livesDue = this.#plan.rooms.length;
    setTimeout(
      () => {
        if (!this.#left) this.#link = this.#connect();
      },
      RETRY_MS * (1 + Math.random()),
    );
  }

  publish(content: Buffer): void {
    const [room] = this.#plan.rooms;
    setDue(content, hostMicros());
    this.#link.write(clientFrame(encode([3, 0, room, content])));
  }

  setReading(reading: boolean): void {
    if (reading) this.#link.resume();
    else this.#link.pause();
  }

  leave(): void {
    this.#left = true;
    this.#link.cut();
  }

  #connect(): Link {
    const { host, port, localAddress } = this.#plan;
    return new Link({ host, port, localAddress }, this);
  }

  #subscribe(): void {
    for (const [index, room] of this.#plan.rooms.entries()) {
      const known = this.#positions.get(room);
      const { state: _, ...others } = this.#plan.options;
      const options =
        known === undefined ? this.#plan.options : { ...others, after: [known.epoch, known.offset] };
      this.#link.write(clientFrame(encode([1, index + 1, room, options])));
    }
  }

  #value(code: number, bytes: Buffer): void {
    const value = decode(bytes);
    if (!Array.isArray(value)) return;
    switch (code) {
      case CODE.message:
        this.#message(value);
        return;
      case CODE.ok:
        if (value[1] > 0) {
          const room = this.#plan.rooms[value[1] - 1] ?? "";
          this.#positions.set(room, { epoch: value[2].epoch, offset: value[2].offset });
        }
        return;
      case CODE.live: {
        const position = this.#positions.get(value[1]);
        if (position !== undefined) position.offset = Math.max(position.offset, value[2]);
        if (this.#livesDue === 0) return;
        this.#livesDue -= 1;
        if (this.#livesDue === 0) this.#door.live();
        return;
      }
      case CODE.lagged:
        counts.lagged += 1;
        this.#subscribe();
        return;
      case CODE.rate:
        counts.moved += 1;
        return;
      case CODE.error:
        this.#error(value);
    }
  }

  /** Before it is live: of a subscribe, by its `ref`, or with 0 of the connection. Afterwards mostly of a publish, which has none. */
  #error([, ref, code, text]: readonly unknown[]): void {
    const { rooms } = this.#plan;
    const room = rooms[Number(ref) - 1];
    if (this.#livesDue === 0) {
      counts.refusal ??= refusalText(
        room === undefined ? `publishing to ${rooms[0]}` : `subscribing to ${room}`,
        code,
        text,
      );
      return;
    }
    const what = room === undefined ? "a connection" : `subscribing to ${room}`;
    if (room === undefined && PASSING_CODES.includes(code)) {
      this.#door.delayed(refusalText(what, code, text));
      return;
    }
    this.#door.refused(refusalText(what, code, text));
  }

  #message([, room, offset, prev, , data]: readonly unknown[]): void {
    const position = this.#positions.get(String(room));
    if (Number(offset) > 0 && position !== undefined) {
      if (Number(offset) <= position.offset) return;
      if (Number(prev) > position.offset) counts.fail(`a hole: ${prev}→${offset} after ${position.offset}`);
      position.offset = Number(offset);
    }
    counts.messages += 1;
    if (!(data instanceof Uint8Array)) return;
    const dueMicros = new DataView(data.buffer, data.byteOffset).getFloat64(0);
    counts.ageMicros.record(hostMicros() - dueMicros);
  }
}

let clients: Client[] = [];
let mover: NodeJS.Timeout | undefined;

/** Resolves with the first refusal that is for good, or with the last that was not where time is up; undefined: all are live. */
async function connect(plan: AudiencePlan): Promise<string | undefined> {
  let live = 0;
  let delayed = "nothing was told";
  let timer: NodeJS.Timeout | undefined;
  const refusal = await new Promise<string | undefined>((resolve) => {
    const door: Door = {
      live: () => {
        live += 1;
        if (live === plan.connections) resolve(undefined);
      },
      delayed: (why) => {
        delayed = why;
      },
      refused: resolve,
    };
    timer = setTimeout(
      () => resolve(`${live} of ${plan.connections} clients are live after ${CONNECT_MS} ms; ${delayed}`),
      CONNECT_MS,
    );
    clients = Array.from({ length: plan.connections }, () => new Client(plan, door));
  });
  clearTimeout(timer);
  if (refusal === undefined && plan.movesPerSecond > 0) move(plan);
  return refusal;
}

/** Clients take turns evenly, so that they do not all move at once. */
function move({ movesPerSecond, bytes }: AudiencePlan): void {
  const content = createContent(bytes);
  const startMicros = hostMicros();
  const intervalMicros = 1_000_000 / (movesPerSecond * clients.length);
  let sent = 0;
  mover = setInterval(() => {
    for (; startMicros + sent * intervalMicros <= hostMicros(); sent += 1)
      clients[sent % clients.length]?.publish(content);
  }, MOVE_TIMER_MS);
}

async function answer(request: AudienceRequest): Promise<AudienceReply> {
  switch (request.kind) {
    case "connect": {
      const refusal = await connect(request.plan);
      if (refusal === undefined) return { kind: "done" };
      disconnect();
      return { kind: "refused", refusal };
    }
    case "phase": {
      const phase = counts.take();
      counts = new Counts();
      return { kind: "phase", phase };
    }
    case "read":
      for (const client of clients) client.setReading(request.reading);
      return { kind: "done" };
    case "disconnect":
      disconnect();
      return { kind: "done" };
  }
}

function disconnect(): void {
  clearInterval(mover);
  for (const client of clients) client.leave();
  clients = [];
}

answerParent<AudienceRequest, AudienceReply>(answer, () => process.exit(0));
