import { escapeHtml, figure, htmlTable, page, type Tile, tiles } from "../plot/page.js";
import { digits, percent } from "../support/report.js";
import type { Calibration } from "./calibration.js";
import { LATENCY_MICROS_MAX } from "./frontier.js";
import type { Plan, Wish } from "./plan.js";
import { LIMITS, rangeText, secondsText } from "./plan-text.js";
import { capacityChart, frontierChart, limitBars, memoryChart, uncertaintyChart } from "./report-charts.js";
import { costSurface, gridOf, limitMap } from "./report-grid.js";

const LATENCY_MS = LATENCY_MICROS_MAX / 1_000;

/** A plan as a page: the answer, what it rests on, and how sure it is. It has no scripts and loads nothing. */
export function planPage(wish: Wish, plan: Plan, calibration: Calibration, command: string): string {
  const title = `${count(plan.boxes, "box", "boxes")} for ${digits(wish.connections)} connections`;
  const rate = wish.rate === "all" ? "every message" : `the latest of each key ${wish.rate} times a second`;
  const grid = gridOf(wish, calibration);
  const body = [
    `<header><h1>${escapeHtml(title)}</h1><p class="soft">${escapeHtml(
      `${digits(wish.updates)} messages a second of ${digits(wish.bytes)} bytes in ${digits(wish.rooms)} rooms, ${digits(wish.roomsPerClient)} of them for each client, ${rate}. ` +
        `On boxes of ${wish.cores} cores, ${wish.memoryGiB} GiB and ${wish.nicGbit} Gbit/s${wish.lost > 0 ? `, of which ${wish.lost} may be lost` : ""}.`,
    )}</p></header>`,
    tiles(tilesOf(wish, plan, calibration)),
    figure(
      "What a box uses, and what binds",
      `Bound by ${LIMITS[plan.limit]}. Boxes that each limit asks for: ${Object.entries(plan.boxesBy)
        .map(([name, boxes]) => `${name} ${boxes}`)
        .join(", ")}.`,
      limitBars(wish, plan),
      "Wide bars: all boxes up; narrow ones: with those lost that may be. The whisker is how far CPU may be off.",
    ),
    pair(capacityFigure(wish, plan, calibration), frontierFigure(calibration)),
    pair(
      figure(
        "Cost surface: boxes",
        "As many boxes as more or fewer connections and updates need, all else as wished.",
        costSurface(grid),
        "The framed cell is this plan. –: more messages a second than a worker takes in, or than a box can bear.",
      ),
      figure(
        "Which limit binds",
        "The same plans, by what bounds their number of boxes.",
        limitMap(grid),
        "Where the cores bind, fewer writes help: a rate, or larger batches. Where the return of a lost box's clients binds, more time for it does.",
      ),
    ),
    pair(
      figure(
        "Memory of a box",
        `${digits(plan.perClient.memoryBytes / 1_024)} KiB a client with its ${digits(wish.roomsPerClient)} rooms, the kernel's part included.`,
        memoryChart(wish, plan, calibration),
        "Sockets at rest. Messages kept for resumes come on top in the hub, as memory.bytes bounds them.",
      ),
      uncertaintyFigure(calibration),
    ),
    assumptions(wish, plan, calibration, command),
  ];
  return page({ title: `fanwire: ${title}`, body: body.join("\n") });
}

function tilesOf(wish: Wish, plan: Plan, calibration: Calibration): Tile[] {
  const { perBox, perClient, nats } = plan;
  return [
    {
      value: count(plan.boxes, "box", "boxes"),
      label: `${rangeText(wish, plan, calibration)}, were CPU off by ${percent(plan.uncertainty)}`,
      main: true,
    },
    {
      value: digits(perBox.connections),
      label: `connections a box, ${digits(perBox.connections / plan.workersPerBox)} in each of ${plan.workersPerBox} workers`,
    },
    { value: percent(perBox.cores), label: `of ${wish.cores} cores a box` },
    {
      value: `${digits(perBox.gbit)} Gbit/s`,
      label: `out of a box, ${digits(perBox.packetsPerSecond)} packets/s`,
    },
    { value: `${digits(perBox.memoryGiB)} GiB`, label: "of memory a box" },
    {
      value: `${digits(perClient.deliveriesPerSecond)}/s`,
      label: `messages to a client, in ${digits(perClient.writesPerSecond)} writes`,
    },
    ...(wish.lost > 0
      ? [
          {
            value: secondsText(plan.backSeconds),
            label: `until its clients are back when ${count(wish.lost, "box fails", "boxes fail")}`,
          },
        ]
      : []),
    { value: secondsText(plan.stormSeconds), label: "until all are back, were everybody cut at once" },
    ...(plan.boxes > 1
      ? [
          {
            value: `${digits(nats.inPerSecond)}/s`,
            label: `into NATS, ${digits(nats.outPerSecond)}/s out, ${digits(nats.outMbit)} Mbit/s; ${digits(nats.storedMegabytesPerSecond)} MB/s to disk at three copies`,
          },
        ]
      : []),
  ];
}

/** Side by side where there is room; what is "" is left out. */
function pair(left: string, right: string): string {
  return right === "" ? left : `<div class="pair">${left}${right}</div>`;
}

function capacityFigure(wish: Wish, plan: Plan, calibration: Calibration): string {
  const cores = percent(wish.utilization);
  return figure(
    `Deliveries a second against connections, 99 % within ${LATENCY_MS} ms`,
    `What one box makes by the model with ${cores} of its cores and of its network, rooms shared as here.`,
    capacityChart(wish, plan, calibration),
    wish.rate === "all"
      ? `With few clients taking messages in costs the most, with many a flush takes so long that ${LATENCY_MS} ms are over before the last client has it.`
      : `Counted from the end of a class's window of ${digits(1_000 / wish.rate)} ms. With many clients a window does not suffice to write to all of them.`,
  );
}

function frontierFigure(calibration: Calibration): string {
  const seen = frontierChart(calibration);
  if (seen === "") return "";
  return figure(
    "One worker, measured",
    `Everybody in one room, messages of 100 bytes in batches of ten, faster and faster until less than 99 % come within ${LATENCY_MS} ms.`,
    seen,
    "On the machine that was calibrated. Clients share it, so what they could not take is a lower bound.",
  );
}

function uncertaintyFigure(calibration: Calibration): string {
  const { heldOut } = calibration;
  const runs = uncertaintyChart(calibration);
  if (runs === "") return "";
  return figure(
    "How far predictions are off",
    `${heldOut.runs} runs were held out of the fit: off by ${percent(heldOut.median)} in the middle, ${percent(heldOut.worst)} at the worst.`,
    runs,
    "Each dot is a run on the machine that was calibrated; prices are fitted to the open ones.",
  );
}

function assumptions(
  wish: Wish,
  plan: Plan,
  { prices, restMs, connectMicros, memory, at, machine, fanwire }: Calibration,
  command: string,
): string {
  const micros = (value: number): string => `${digits(value)} µs`;
  const priced = htmlTable(
    ["what happens", "price, of one core"],
    [
      ["a write: one system call brings a socket what it has waiting", micros(prices.write)],
      [
        `up to so much more, where the socket rested before; two thirds of that after ${digits(restMs)} ms`,
        micros(prices.cold),
      ],
      ["a message in it", micros(prices.message)],
      ["1,000 bytes of it", micros(prices.byte * 1_000)],
      ["a message taken in by a worker or hub", micros(prices.publish)],
      ["a request that brings messages", micros(prices.batch)],
      ["a connection held for a second", micros(prices.second)],
      ["a new connection", micros(connectMicros)],
      [
        "memory of a connection / of a subscription / of the kernel",
        `${digits(memory.connectionBytes)} / ${digits(memory.subscriptionBytes)} / ${digits(memory.kernelBytes)} bytes`,
      ],
    ],
  );
  const client = htmlTable(
    ["a client", ""],
    [
      ["messages a second", digits(plan.perClient.deliveriesPerSecond)],
      ["writes a second", digits(plan.perClient.writesPerSecond)],
      ["CPU a second", micros(plan.perClient.cpuMicrosPerSecond)],
      ["bandwidth", `${digits((plan.perClient.bytesPerSecond * 8) / 1_000)} kbit/s`],
      ["memory", `${digits(plan.perClient.memoryBytes / 1_024)} KiB`],
    ],
  );
  return `<section><h2>What it rests on</h2>
<p class="soft">CPU is the sum of what happens, each at a price that was fitted on ${escapeHtml(machine)} (${escapeHtml(at.slice(0, 10))}, fanwire ${escapeHtml(fanwire)}). Rooms and times of updates are taken as even, a box's cores as like those measured. Boxes keep below ${percent(wish.utilization)} of cores, memory and network, and have all clients of a lost one back within ${digits(wish.backSeconds)} s.</p>
<div class="pair">${priced}${client}</div>
<p class="note" style="margin-top:1rem">CPU = writes × their price + writes after a rest × how much of it counts × that price + messages + bytes + messages taken in + requests + connections held, each × its price. What a worker takes in from its hub is priced as what comes over HTTP, which is dearer.</p>
<p class="note">Again: <code>${escapeHtml(command)}</code>; <code>fanwire calibrate</code> takes the prices where it is to run.</p></section>`;
}

function count(number: number, one: string, more: string): string {
  return `${digits(number)} ${number === 1 ? one : more}`;
}
