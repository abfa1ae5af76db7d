/** A hub with its memory broker and a publisher inside the same process, as a child of the bench `hub`. */
import { startHub } from "../broker/hub/hub.js";
import { createHubCounters, type HubCounters } from "../broker/hub/hub-counters.js";
import { DEFAULT_HUB_LIMITS } from "../broker/hub/hub-limits.js";
import { MemoryBroker } from "../broker/memory.js";
import { DEFAULT_ROOM_SETTINGS } from "../core/settings.js";
import { parseRoom } from "../protocol/room-name.js";
import { answerParent } from "./support/child.js";
import { hostMicros } from "./support/clock.js";
import { Histogram, type HistogramData } from "./support/histogram.js";
import { benchRoom, createContent, setDue } from "./support/message-scan.js";

export type HostRequest =
  | { readonly kind: "listen"; readonly socketPath: string }
  /** Publishes evenly into all rooms, open loop, each message with the time at which it was published. */
  | {
      readonly kind: "publish";
      readonly rooms: number;
      readonly rate: number;
      readonly seconds: number;
      readonly bytes: number;
    }
  | { readonly kind: "counters" };

export type HostReply =
  | { readonly kind: "listening" }
  | {
      readonly kind: "published";
      readonly messages: number;
      readonly micros: number;
      /** How long after its time in the plan a message was published. */
      readonly late: HistogramData;
    }
  | { readonly kind: "counters"; readonly counters: HubCounters };

const counters = createHubCounters();
const broker = new MemoryBroker({ settingsOf: () => DEFAULT_ROOM_SETTINGS });

async function answer(request: HostRequest): Promise<HostReply> {
  switch (request.kind) {
    case "listen": {
      const { socketPath } = request;
      await startHub({ broker, socketPath, limits: DEFAULT_HUB_LIMITS, counters, onError: console.error });
      setInterval(() => broker.sweep(), 1_000);
      return { kind: "listening" };
    }
    case "publish":
      return publish(request);
    case "counters":
      return { kind: "counters", counters };
  }
}

async function publish(plan: Extract<HostRequest, { kind: "publish" }>): Promise<HostReply> {
  const rooms = Array.from({ length: plan.rooms }, (_, index) => parseRoom(benchRoom(index)));
  const content = createContent(plan.bytes);
  // A bin of up to 255 bytes: two bytes of head.
  const data = Buffer.concat([Buffer.from([0xc4, plan.bytes]), content]);
  const due = data.subarray(2);
  const late = new Histogram();
  const messages = Math.round(plan.rate * plan.seconds);
  const start = hostMicros();
  const interval = 1_000_000 / plan.rate;
  await new Promise<void>((resolve) => {
    let next = 0;
    const step = (): void => {
      const stepStart = hostMicros();
      for (let now = stepStart; next < messages; next += 1, now = hostMicros()) {
        const dueMicros = start + next * interval;
        // A late publisher serves the loop between, as one that is driven by sockets would.
        if (dueMicros > stepStart || now > stepStart + STEP_MICROS) break;
        late.record(now - dueMicros);
        setDue(due, now);
        const room = rooms[next % rooms.length];
        if (room !== undefined) void broker.publish({ room, data });
      }
      if (next >= messages) resolve();
      else if (start + next * interval <= hostMicros()) setImmediate(step);
      else setTimeout(step, 1);
    };
    step();
  });
  return { kind: "published", messages, micros: hostMicros() - start, late: late.toJSON() };
}

const STEP_MICROS = 2_000;

answerParent(answer, () => process.exit(0));
