import { digits, percent } from "../support/report.js";
import type { Calibration } from "./calibration.js";
import { scaled } from "./capacity.js";
import { type BoxLoad, type Limit, type Plan, planFor, type Wish } from "./plan.js";

export const LIMITS: Readonly<Record<Limit, string>> = {
  cores: "the cores",
  memory: "memory",
  network: "the network's bandwidth",
  packets: "packets a second",
  reconnects: "the reconnects after losing a box",
};

/** A plan for people: the answer first, then what it rests on. */
export function planText(wish: Wish, plan: Plan, calibration: Calibration): string {
  const { perClient, perBox, perBoxWhenLost, nats, boxesBy, uncertainty } = plan;
  const rate = wish.rate === "all" ? "every message" : `the latest of each key ${wish.rate} times a second`;
  const lines = [
    `${plan.boxes} ${plan.boxes === 1 ? "box" : "boxes"} of ${wish.cores} cores, ${wish.memoryGiB} GiB and ${wish.nicGbit} Gbit/s, ${plan.workersPerBox} workers each`,
    `for ${digits(wish.connections)} connections in ${digits(wish.roomsPerClient)} of ${digits(wish.rooms)} rooms, ${digits(wish.updates)} messages/s of ${wish.bytes} bytes, ${rate}.`,
    "",
    `Bound by ${LIMITS[plan.limit]}. Boxes that each limit asks for: ${Object.entries(boxesBy)
      .map(([name, boxes]) => `${name} ${boxes}`)
      .join(", ")}${wish.lost > 0 ? `; ${wish.lost} may be lost` : ""}.`,
    "",
    "A client:",
    `  ${digits(perClient.deliveriesPerSecond)} messages/s in ${digits(perClient.writesPerSecond)} writes/s, ${digits((perClient.bytesPerSecond * 8) / 1_000)} kbit/s, ${digits(perClient.cpuMicrosPerSecond)} µs of CPU/s, ${digits(perClient.memoryBytes / 1_024)} KiB with the kernel's part`,
    "A box:",
    `  ${boxText(perBox)}`,
    ...(wish.lost > 0
      ? [
          `With ${wish.lost} lost:`,
          `  ${boxText(perBoxWhenLost)}; its clients are back after ${secondsText(plan.backSeconds)} and their own backoff of up to half a second`,
        ]
      : []),
    "Were everybody cut at once:",
    `  all are back after ${secondsText(plan.stormSeconds)} beside what the boxes do anyway`,
    ...(plan.boxes > 1
      ? [
          "NATS, which several boxes need:",
          `  ${digits(nats.inPerSecond)} messages/s in, ${digits(nats.outPerSecond)}/s out to the boxes at the most, ${digits(nats.outMbit)} Mbit/s; three servers where messages are to survive one, which write ${digits(nats.storedMegabytesPerSecond)} MB/s to disk together`,
        ]
      : []),
    "",
    `${rangeText(wish, plan, calibration)}: CPU may be off by ${percent(uncertainty)} (the worst of ${calibration.heldOut.runs} runs that the prices were not fitted to, the middle one by ${percent(calibration.heldOut.median)});`,
    `prices of ${calibration.at.slice(0, 10)}, ${calibration.machine}, fanwire ${calibration.fanwire}: "fanwire calibrate" takes them anew where it is to run.`,
  ];
  return `${lines.join("\n")}\n`;
}

/** Boxes if everything cost less, and if everything cost more, by the worst error that was seen. */
export function rangeText(wish: Wish, { uncertainty }: Plan, calibration: Calibration): string {
  const [least, most] = [1 - Math.min(0.9, uncertainty), 1 + uncertainty].map((factor) => {
    try {
      return String(planFor(wish, scaled(calibration, factor)).boxes);
    } catch (cause) {
      if (cause instanceof RangeError) return "more than can be";
      throw cause;
    }
  });
  return least === most ? `${least} within what is sure` : `${least} to ${most}`;
}

export function secondsText(seconds: number): string {
  return seconds < 1 ? "less than 1 s" : `${digits(seconds)} s`;
}

function boxText(load: BoxLoad): string {
  return (
    `${digits(load.connections)} connections, ${percent(load.cores)} of the cores, ${digits(load.memoryGiB)} GiB (${percent(load.memory)}), ` +
    `${digits(load.gbit)} Gbit/s (${percent(load.network)}), ${digits(load.packetsPerSecond)} packets/s`
  );
}
