/** A worker that follows rooms through its link: `node worker-program.testkit.js SOCKET LIMITS ROOM...`. */
import type { Sink } from "../../core/ports.js";
import type { Position, ResetReason } from "../../protocol/frames.js";
import { parseRoom } from "../../protocol/room-name.js";
import type { HubLinkCounters } from "./hub-counters.js";
import { DEFAULT_HUB_LIMITS, type HubLimits } from "./hub-limits.js";
import { connectHub } from "./hub-link.js";

export interface RoomReport {
  readonly position: Position;
  readonly messages: number;
  /** Messages that were not the next. */
  readonly broken: number;
  readonly resets: readonly ResetReason[];
}

/** Its answer to any message. */
export interface WorkerReport {
  readonly rooms: Readonly<Record<string, RoomReport>>;
  readonly counters: HubLinkCounters;
}

const [socketPath = "", limits = "{}", ...names] = process.argv.slice(2);
const link = connectHub({
  socketPath,
  worker: `program ${process.pid}`,
  limits: { ...DEFAULT_HUB_LIMITS, ...(JSON.parse(limits) as Partial<HubLimits>) },
  onError: console.error,
});
const rooms: Record<
  string,
  { -readonly [K in keyof RoomReport]: RoomReport[K] } & { resets: ResetReason[] }
> = {};

function follow(name: string): Sink {
  const report = { position: { epoch: "", offset: 0 }, messages: 0, broken: 0, resets: [] as ResetReason[] };
  rooms[name] = report;
  return {
    message({ offset, prev }) {
      const { position } = report;
      // This hub's broker counts one by one.
      if (prev !== position.offset || offset !== prev + 1) report.broken += 1;
      report.position = { epoch: position.epoch, offset };
      report.messages += 1;
    },
    reset(_room, head, reason) {
      report.resets.push(reason);
      report.position = head;
    },
  };
}

await link.ready(20_000);
for (const name of names) {
  // The flow begins after the answer, so nothing of it comes before this.
  const sink = follow(name);
  const position = await link.open(parseRoom(name), sink);
  const report = rooms[name];
  if (report !== undefined) report.position = position;
}

process.on("message", () => process.send?.({ rooms, counters: link.counters } satisfies WorkerReport));
process.once("disconnect", () => process.exit());
process.send?.({ rooms, counters: link.counters } satisfies WorkerReport);
