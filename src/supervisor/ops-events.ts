import type { MetricName } from "./metric-names.js";
import { BROKER_TOTALS, ENGINE_NAMES, GATEWAY_NAMES, HUB_NAMES, LINK_NAMES } from "./metric-names.js";
import type { NodeStatus, ProcessStatus } from "./status.js";

/** Something that an operator may want to know of. */
export interface OpsEvent {
  readonly level: "info" | "warn" | "error";
  readonly text: string;
}

/** What happens again and again is told so often, with its number; ever more seldom while it goes on, so that others are seen. */
const REPEAT_MS_MIN = 10_000;
const REPEAT_MS_MAX = 320_000;

interface Happening {
  readonly level: OpsEvent["level"];
  readonly textOf: (times: number) => string;
}

/** Counters whose growth is worth an event, by their name outside and their label. */
const HAPPENINGS: Readonly<Record<string, Happening>> = {
  fanwire_limit_hits_total: {
    level: "warn",
    textOf: (times) => `${count(times, "time", "times")} at the limit`,
  },
  fanwire_lagged_total: {
    level: "warn",
    textOf: (times) => `${count(times, "reader was", "readers were")} too slow and lost the flow`,
  },
  fanwire_slow_closes_total: {
    level: "warn",
    textOf: (times) => `${count(times, "socket", "sockets")} closed without progress`,
  },
  fanwire_bugs_total: { level: "error", textOf: (times) => `${count(times, "bug", "bugs")}: see the log` },
  fanwire_broker_disconnects_total: {
    level: "warn",
    textOf: (times) => `the connection to NATS was lost ${count(times, "time", "times")}`,
  },
  fanwire_broker_epochs_total: {
    level: "warn",
    textOf: (times) => `${count(times, "stream", "streams")} began a new numbering`,
  },
};

type Totals = Readonly<Record<string, number>>;

/** Finds what happened between two looks at a node. What counters tell is put together, so that a flood of it is a line. */
export class OpsEvents {
  #before: NodeStatus | undefined;
  /** By happening and label: times that were not told yet, when it was told last, and for how long it is not told again. */
  readonly #untold = new Map<string, { times: number; toldMs: number; holdMs: number }>();

  next(status: NodeStatus, nowMs: number): OpsEvent[] {
    const before = this.#before;
    this.#before = status;
    if (before === undefined)
      return [{ level: "info", text: `fanwire ${status.versions.fanwire} ${status.state}` }];
    return [
      ...nodeEvents(before, status),
      ...processEvents("worker", before.workers, status.workers),
      ...processEvents("hub", before.hubs, status.hubs),
      ...this.#counted(before, status, nowMs),
    ];
  }

  #counted(before: NodeStatus, status: NodeStatus, nowMs: number): OpsEvent[] {
    for (const [key, times] of growth(before, status)) {
      const untold = this.#untold.get(key) ?? { times: 0, toldMs: Number.NEGATIVE_INFINITY, holdMs: 0 };
      untold.times += times;
      this.#untold.set(key, untold);
    }
    const events: OpsEvent[] = [];
    for (const [key, untold] of this.#untold) {
      const sinceMs = nowMs - untold.toldMs;
      if (untold.times === 0 || sinceMs < untold.holdMs) continue;
      const [name = "", label = ""] = key.split(" ");
      const happening = HAPPENINGS[name];
      const text = `${happening?.textOf(untold.times) ?? key}${label === "" ? "" : ` (${label})`}`;
      events.push({ level: happening?.level ?? "warn", text });
      const goesOn = sinceMs < 2 * untold.holdMs;
      untold.holdMs = goesOn ? Math.min(REPEAT_MS_MAX, 2 * untold.holdMs) : REPEAT_MS_MIN;
      untold.times = 0;
      untold.toldMs = nowMs;
    }
    return events;
  }
}

function nodeEvents(before: NodeStatus, now: NodeStatus): OpsEvent[] {
  const events: OpsEvent[] = [];
  if (now.state !== before.state)
    events.push({ level: now.state === "running" ? "info" : "warn", text: `the node is ${now.state}` });
  const added = now.reasons.filter((reason) => !before.reasons.includes(reason));
  // A state says itself.
  for (const reason of added)
    if (!reason.startsWith("the node is ")) events.push({ level: "error", text: `not ready: ${reason}` });
  if (now.ready && !before.ready) events.push({ level: "info", text: "ready" });
  const [away, wasAway] = [now.degraded ?? [], before.degraded ?? []];
  for (const part of away)
    if (!wasAway.includes(part)) events.push({ level: "error", text: `degraded: ${part}` });
  if (away.length === 0 && wasAway.length > 0)
    events.push({ level: "info", text: "all of the broker answers again" });
  if (now.stalls > before.stalls) {
    const stalls = now.stalls - before.stalls;
    events.push({ level: "error", text: `${count(stalls, "process", "processes")} stood still: killed` });
  }
  return events;
}

function processEvents(
  role: string,
  before: readonly ProcessStatus<unknown>[],
  now: readonly ProcessStatus<unknown>[],
): OpsEvent[] {
  const events: OpsEvent[] = [];
  for (const { index, pid, state, crashes, lastCrash } of holders(now)) {
    const earlier = holders(before).find((one) => one.index === index);
    const name = `${role} ${index}`;
    if (earlier === undefined) continue;
    if (crashes > earlier.crashes)
      events.push({ level: "error", text: `${name} ${lastCrash ?? "ended"}: it is replaced` });
    const isNew = state === "ready" && (pid !== earlier.pid || earlier.state !== "ready");
    if (isNew) events.push({ level: "info", text: `${name} serves (process ${pid})` });
  }
  return events;
}

/** The first process of a place is the one that has it. */
function holders(all: readonly ProcessStatus<unknown>[]): readonly ProcessStatus<unknown>[] {
  return all.filter(({ index }, at) => all.findIndex((one) => one.index === index) === at);
}

/** By how much what is worth an event has grown, of processes that were there before too. */
function growth(before: NodeStatus, now: NodeStatus): ReadonlyMap<string, number> {
  const grown = new Map<string, number>();
  const earlier = new Map<number, Totals>();
  for (const process of [...before.workers, ...before.hubs])
    if (process.pid !== undefined) earlier.set(process.pid, happenings(process));
  for (const process of [...now.workers, ...now.hubs]) {
    const since = process.pid === undefined ? undefined : earlier.get(process.pid);
    if (since === undefined) continue;
    for (const [key, total] of Object.entries(happenings(process))) {
      const more = total - (since[key] ?? 0);
      if (more > 0) grown.set(key, (grown.get(key) ?? 0) + more);
    }
  }
  return grown;
}

interface Reported {
  readonly counters: {
    readonly engine?: object;
    readonly gateway?: object;
    readonly broker?: object;
    readonly hub?: object;
  };
}

const NAMED: readonly (readonly [keyof Reported["counters"], Readonly<Record<string, MetricName>>])[] = [
  ["engine", ENGINE_NAMES],
  ["gateway", GATEWAY_NAMES],
  ["hub", HUB_NAMES],
  // Names of a broker and of links to one hardly meet, and mean the same where they do.
  ["broker", { ...LINK_NAMES, ...BROKER_TOTALS }],
];

/** Totals of a process by `name label`. */
function happenings({ report }: ProcessStatus<unknown>): Totals {
  const { counters } = (report as Reported | undefined) ?? { counters: {} };
  const totals: Record<string, number> = {};
  for (const [part, names] of NAMED)
    for (const [counter, total] of Object.entries(counters[part] ?? {})) {
      const metric = Object.hasOwn(names, counter) ? names[counter] : undefined;
      if (metric === undefined || !(metric.name in HAPPENINGS)) continue;
      const key = [metric.name, ...Object.values(metric.labels)].join(" ");
      totals[key] = (totals[key] ?? 0) + Number(total);
    }
  return totals;
}

function count(times: number, one: string, many: string): string {
  return `${times.toLocaleString("en")} ${times === 1 ? one : many}`;
}
