/** A hub's presence with one worker, as one node among several on a real NATS: a child of the bench `presence`. */
import { NatsLink, parseServers } from "../broker/nats/connection.js";
import { NatsGossip } from "../broker/nats/gossip.js";
import type { PresenceCounters } from "../broker/presence/presence-counters.js";
import { PresenceHub } from "../broker/presence/presence-hub.js";
import type { Guest } from "../core/presence/exchange.js";
import { parseRoom, type RoomName } from "../protocol/room-name.js";
import { answerParent } from "./support/child.js";
import { hostMicros } from "./support/clock.js";

export type NodeRequest =
  | {
      readonly kind: "start";
      readonly name: string;
      readonly url: string;
      readonly rooms: number;
      readonly sample: number;
    }
  /** So many are in every room here from now on; `churn`: of so many rooms a second it changes, there and back. */
  | { readonly kind: "fill"; readonly count: number; readonly churn: number }
  /** So many are in the rooms of the sample here. */
  | { readonly kind: "bump"; readonly count: number }
  /** Waits until it knows that so many are in all rooms of the sample, over all nodes. */
  | { readonly kind: "until"; readonly count: number; readonly deadlineMs: number }
  | { readonly kind: "stats" };

export interface NodeReply {
  readonly atMicros: number;
  /** Of `until`: when each room of the sample was as asked for. */
  readonly reachedMicros: readonly number[];
  readonly heapBytes: number;
  readonly counters: PresenceCounters | undefined;
}

let hub: PresenceHub | undefined;
let guest: Guest | undefined;
let link: NatsLink | undefined;
let rooms: RoomName[] = [];
let sample: RoomName[] = [];
let churning: NodeJS.Timeout | undefined;
const known = new Map<RoomName, { count: number; micros: number }>();

async function answer(request: NodeRequest): Promise<NodeReply> {
  let reachedMicros: readonly number[] = [];
  switch (request.kind) {
    case "start":
      await start(request);
      break;
    case "fill":
      fill(request.count, request.churn);
      break;
    case "bump":
      guest?.say(sample.map((room) => ({ kind: "count", room, count: request.count })));
      break;
    case "until":
      reachedMicros = await until(request.count, request.deadlineMs);
      break;
    case "stats":
      globalThis.gc?.();
      break;
  }
  const { heapUsed: heapBytes } = process.memoryUsage();
  return { atMicros: hostMicros(), reachedMicros, heapBytes, counters: hub?.counters };
}

async function start({
  name,
  url,
  rooms: count,
  sample: few,
}: Extract<NodeRequest, { kind: "start" }>): Promise<void> {
  link = await NatsLink.open(parseServers(url), name, {}, 10_000);
  const gossip = new NatsGossip(link, "fw.presence", () => undefined);
  hub = new PresenceHub({ name, limits: { members: 250, bytes: 16_000 }, gossip });
  rooms = Array.from({ length: count }, (_, n) => parseRoom(`hall.room-${n}`));
  const every = Math.max(1, Math.floor(count / few));
  sample = rooms.filter((_, n) => n % every === 0);
  guest = hub.connect({
    isReady: true,
    told: (ops) => {
      const micros = hostMicros();
      for (const op of ops) if (op.kind === "count") known.set(op.room, { count: op.count, micros });
    },
  });
  guest.say(sample.map((room) => ({ kind: "watch", room })));
}

function fill(count: number, churn: number): void {
  clearInterval(churning);
  if (churn === 0) {
    guest?.say(rooms.map((room) => ({ kind: "count", room, count })));
    return;
  }
  const isSample = new Set(sample);
  const others = rooms.filter((room) => !isSample.has(room));
  let at = 0;
  churning = setInterval(() => {
    const words = Array.from({ length: Math.round(churn / 20) }, () => {
      at += 1;
      const room = others[at % others.length] ?? parseRoom("hall.none");
      return { kind: "count" as const, room, count: count + (Math.floor(at / others.length) % 2) };
    });
    guest?.say(words);
  }, 50);
}

async function until(count: number, deadlineMs: number): Promise<readonly number[]> {
  const endMs = performance.now() + deadlineMs;
  for (;;) {
    const left = sample.filter((room) => known.get(room)?.count !== count);
    if (left.length === 0) return sample.map((room) => known.get(room)?.micros ?? 0);
    if (performance.now() > endMs) {
      const first = left[0] === undefined ? undefined : known.get(left[0])?.count;
      throw new Error(
        `${left.length} of ${sample.length} rooms do not have ${count}, the first has ${first}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

answerParent<NodeRequest, NodeReply>(answer, () => {
  hub?.stop();
  void link?.close().finally(() => process.exit());
});
