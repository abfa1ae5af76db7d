import { Chart, type XY } from "../plot/chart.js";
import { linear, logarithmic } from "../plot/scale.js";
import { digits, percent } from "../support/report.js";
import type { Calibration } from "./calibration.js";
import { type CapacityWish, deliveriesPerSecond, scaled } from "./capacity.js";
import { FRONTIER_BATCH, FRONTIER_BYTES, LATENCY_MICROS_MAX } from "./frontier.js";
import { LOST_UTILIZATION, MESSAGE_BYTES, type Plan, type Share, shareOf, type Wish } from "./plan.js";

const WIDTH = 520;
const HEIGHT = 330;
const POINTS = 48;

/** The most deliveries a second of one box, by how many clients it has. */
export function capacityChart(wish: Wish, plan: Plan, calibration: Calibration): string {
  const own = plan.perBox.connections;
  const counts = spread(Math.max(10, own / 30), own * 30);
  // As many as the network takes, whatever the cores would make.
  const network = (wish.nicGbit * 1e9 * wish.utilization) / 8 / (wish.bytes + MESSAGE_BYTES);
  const box = (factor: number): XY[] =>
    counts.map((connections) => {
      const worker = workerWish(wish, connections, plan.boxes);
      const cores = wish.cores * deliveriesPerSecond(worker, scaled(calibration, factor), LATENCY_MICROS_MAX);
      return [connections, Math.min(cores, network)];
    });
  const [middle, least, most] = [box(1), box(1 + plan.uncertainty), box(1 - Math.min(0.9, plan.uncertainty))];
  const load = own * plan.perClient.deliveriesPerSecond;
  const high = Math.max(...most.map(([, y]) => y), load);
  const low = Math.max(1, Math.min(load, ...middle.map(([, y]) => y).filter((y) => y > 0)) / 3);
  const bounded = (points: readonly XY[]): XY[] => points.map(([x, y]) => [x, Math.max(y, low)]);
  return new Chart({
    width: frontierOf(calibration).length > 0 ? WIDTH : 2 * WIDTH,
    height: HEIGHT,
    name: "Deliveries a second of a box against its connections",
    x: { label: "connections of a box", scale: logarithmic(counts[0] ?? 1, counts.at(-1) ?? 10) },
    y: { label: "deliveries a second", scale: logarithmic(low, high * 1.2) },
  })
    .area(bounded(least), bounded(most), "--band", { name: `within ± ${percent(plan.uncertainty)} of cost` })
    .line(bounded(middle), "--a", { name: "as many as come in time" })
    .here([own, load], "this plan")
    .svg();
}

function workerWish(wish: Wish, connections: number, boxes: number): CapacityWish {
  const { roomsPerClient, rooms, rate, updates, batch, bytes, utilization, cores } = wish;
  const takenIn = (cores + 1) / cores;
  return {
    connections: connections / cores,
    ...{ rate, updates },
    ...{ roomsPerClient, rooms, batch, bytes, utilization, takenIn, requests: 1 / cores / boxes },
  };
}

/** What came in time where the machine was not too busy with other things. */
export function frontierOf({ frontier }: Calibration): Calibration["frontier"] {
  return frontier.filter(({ deliveriesPerSecond: perSecond }) => perSecond > 0);
}

/** The same of one worker on the machine that was measured, beside what it did. "": nothing was measured. */
export function frontierChart(calibration: Calibration): string {
  const frontier = frontierOf(calibration);
  if (frontier.length === 0) return "";
  const most = Math.max(...frontier.map(({ connections }) => connections));
  const counts = spread(
    Math.max(1, Math.min(...frontier.map(({ connections }) => connections)) / 3),
    most * 3,
  );
  const model = counts.map((connections): XY => {
    const one = { roomsPerClient: 1, rooms: 1, rate: "all", updates: 0 } as const;
    const alone = { utilization: 1, takenIn: 1, requests: 1 };
    const wish = { connections, batch: FRONTIER_BATCH, bytes: FRONTIER_BYTES, ...one, ...alone };
    return [connections, deliveriesPerSecond(wish, calibration, LATENCY_MICROS_MAX)];
  });
  const measured = frontier.map((one) => ({
    at: [one.connections, one.deliveriesPerSecond] as const,
    title: `${digits(one.connections)} clients: ${digits(one.deliveriesPerSecond)} deliveries/s, p99 ${digits(one.p99Micros / 1_000)} ms`,
    open: one.bound !== "latency",
  }));
  const values = [...model, ...measured.map(({ at }) => at)].map(([, y]) => y).filter((y) => y > 0);
  const low = Math.min(...values) / 2;
  return new Chart({
    width: WIDTH,
    height: HEIGHT,
    name: "Deliveries a second of one worker, measured and by the model",
    x: { label: "connections of one worker", scale: logarithmic(counts[0] ?? 1, counts.at(-1) ?? 10) },
    y: { label: "deliveries a second", scale: logarithmic(low, Math.max(...values) * 1.5) },
  })
    .line(
      model.filter(([, y]) => y > 0),
      "--a",
      { name: "model" },
    )
    .dots(
      measured.filter(({ open }) => !open),
      "--b",
      "measured: more came late",
    )
    .dots(
      measured.filter(({ open }) => open),
      "--b",
      "at least: the clients were full",
    )
    .svg();
}

export function memoryChart(wish: Wish, plan: Plan, { memory }: Calibration): string {
  const own = plan.perBox.connections;
  const most = Math.max(own * 1.6, plan.perBoxWhenLost.connections * 1.15);
  const counts = Array.from({ length: POINTS }, (_, index) => (most * index) / (POINTS - 1));
  const gib = 2 ** 30;
  const parts = [
    { name: "workers, hub and supervisor", colour: "--d", of: () => (wish.cores + 2) * memory.workerBytes },
    { name: "connections", colour: "--a", of: (count: number) => count * memory.connectionBytes },
    {
      name: "subscriptions",
      colour: "--c",
      of: (count: number) => count * wish.roomsPerClient * memory.subscriptionBytes,
    },
    { name: "the kernel's sockets", colour: "--b", of: (count: number) => count * memory.kernelBytes },
  ];
  const top = Math.max(plan.perBoxWhenLost.memoryGiB * 1.3, (most / own) * plan.perBox.memoryGiB);
  const chart = new Chart({
    width: WIDTH,
    height: HEIGHT,
    name: "Memory of a box against its connections",
    x: { label: "connections of a box", scale: linear(most, 4) },
    y: { label: "GiB", scale: linear(Math.min(top, wish.memoryGiB * 1.1)) },
  });
  let below: XY[] = counts.map((count) => [count, 0]);
  for (const { name, colour, of } of parts) {
    const above = below.map(([count, sum]): XY => [count, sum + of(count) / gib]);
    chart.area(below, above, colour, { opacity: 0.75, name });
    below = above;
  }
  return chart
    .level(
      wish.memoryGiB * wish.utilization,
      "--warn",
      `${percent(wish.utilization)} of ${wish.memoryGiB} GiB`,
    )
    .here([own, plan.perBox.memoryGiB], "this plan")
    .svg();
}

/** Predicted against measured, of the runs that the prices rest on and of those held out. */
export function uncertaintyChart({ runs, heldOut }: Calibration): string {
  if (runs.length === 0) return "";
  const values = runs
    .flatMap(({ measured, predicted }) => [measured, predicted])
    .filter((value) => value > 0);
  const [low, high] = [Math.min(...values) / 1_500, Math.max(...values) / 700];
  const scale = logarithmic(low, high);
  const diagonal = (factor: number): XY[] => [
    [low, low * factor],
    [high, high * factor],
  ];
  const dots = (isOut: boolean) =>
    runs
      .filter((run) => run.heldOut === isOut)
      .map(({ name, measured, predicted }) => ({
        at: [measured / 1_000, predicted / 1_000] as const,
        title: `${name}: ${percent((predicted - measured) / measured)}`,
        open: !isOut,
      }));
  return new Chart({
    width: WIDTH,
    height: HEIGHT,
    name: "CPU predicted against measured",
    x: { label: "measured, ms of CPU", scale },
    y: { label: "predicted, ms of CPU", scale },
  })
    .area(diagonal(1 - Math.min(0.9, heldOut.worst)), diagonal(1 + heldOut.worst), "--band", {
      name: `± ${percent(heldOut.worst)}`,
    })
    .line(diagonal(1), "--bar", { dashed: true, name: "as measured" })
    .dots(dots(false), "--a", "fitted to")
    .dots(dots(true), "--own", "held out")
    .svg();
}

const BAR = { label: 150, width: 620, row: 46, top: 26, value: 190 } as const;
const SHARES: readonly { readonly name: Share; readonly label: string }[] = [
  { name: "cores", label: "cores" },
  { name: "memory", label: "memory" },
  { name: "network", label: "bandwidth" },
  { name: "packets", label: "packets a second" },
];

/** What a box uses of each thing that it has, with all boxes up and with some lost. */
export function limitBars(wish: Wish, plan: Plan): string {
  const x = (share: number): number => BAR.label + Math.min(1, share) * BAR.width;
  const height = BAR.top + SHARES.length * BAR.row + 20;
  const rows = SHARES.map(({ name, label }, index) => {
    const y = BAR.top + index * BAR.row;
    const [now, lost] = [shareOf(name, plan.perBox, wish), shareOf(name, plan.perBoxWhenLost, wish)];
    const colour = name === plan.limit ? "--own" : "--bar";
    const spreadOf =
      name === "cores" ? whisker(now * (1 - plan.uncertainty), now * (1 + plan.uncertainty), y + 11, x) : "";
    return `<text x="${BAR.label - 10}" y="${y + 21}" text-anchor="end">${label}</text><rect x="${BAR.label}" y="${y + 4}" width="${Math.max(1, x(now) - BAR.label)}" height="15" rx="2" fill="var(${colour})"/><rect x="${BAR.label}" y="${y + 21}" width="${Math.max(1, x(lost) - BAR.label)}" height="9" rx="2" fill="var(${colour})" opacity=".45"/>${spreadOf}<text x="${BAR.label + BAR.width + 12}" y="${y + 21}">${percent(now)}${wish.lost > 0 ? `, ${percent(lost)} with ${wish.lost} lost` : ""}</text>`;
  });
  const lines = [
    { at: wish.utilization, name: `${percent(wish.utilization)} planned for` },
    ...(wish.lost > 0
      ? [{ at: LOST_UTILIZATION, name: `${percent(LOST_UTILIZATION)} with ${wish.lost} lost` }]
      : []),
  ].map(
    ({ at, name }) =>
      `<line x1="${x(at)}" x2="${x(at)}" y1="${BAR.top - 4}" y2="${height - 20}" stroke="var(--warn)" stroke-dasharray="3 3"/><text x="${x(at)}" y="${BAR.top - 9}" text-anchor="middle" style="fill:var(--warn)">${name}</text>`,
  );
  return `<svg viewBox="0 0 ${BAR.label + BAR.width + BAR.value} ${height}" role="img" aria-label="Share of each limit that a box uses"><line class="rule" x1="${BAR.label}" x2="${BAR.label}" y1="${BAR.top}" y2="${height - 20}"/>${rows.join("")}${lines.join("")}</svg>`;
}

function whisker(low: number, high: number, y: number, x: (share: number) => number): string {
  const [from, to] = [x(low), x(high)];
  return `<path d="M${from} ${y - 4}V${y + 4}M${from} ${y}H${to}M${to} ${y - 4}V${y + 4}" stroke="var(--ink)" fill="none" stroke-width="1.5"/>`;
}

/** Evenly on a logarithmic axis. */
function spread(low: number, high: number): number[] {
  return Array.from({ length: POINTS }, (_, index) => low * (high / low) ** (index / (POINTS - 1)));
}
