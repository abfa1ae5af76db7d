import type { Calibration } from "./calibration.js";
import { coldShare, cpuOf, type Work, writesFor } from "./model.js";

/** What is to be served, and on what. */
export interface Wish {
  readonly connections: number;
  /** Rooms of each client, and rooms in all, evenly shared. */
  readonly roomsPerClient: number;
  readonly rooms: number;
  /** Messages published a second, all rooms together, and how many of them at once. */
  readonly updates: number;
  readonly batch: number;
  /** Delivery class: the latest of each key so often a second, or every message. */
  readonly rate: number | "all";
  /** Bytes of a message's data. */
  readonly bytes: number;
  /** Of one box. */
  readonly cores: number;
  readonly memoryGiB: number;
  readonly nicGbit: number;
  /** Share of the cores, memory and NIC that may be used when all boxes are up. */
  readonly utilization: number;
  /** Boxes that may fail at once, the others carrying all. */
  readonly lost: number;
  /** Within which the clients of the boxes lost are to be back. */
  readonly backSeconds: number;
}

export type Limit = "cores" | "memory" | "network" | "packets" | "reconnects";

export interface Plan {
  readonly boxes: number;
  readonly workersPerBox: number;
  /** What bounds the number of boxes. */
  readonly limit: Limit;
  /** Boxes that each limit asks for, before those that may be lost. */
  readonly boxesBy: Readonly<Record<Limit, number>>;
  readonly perClient: {
    readonly deliveriesPerSecond: number;
    readonly writesPerSecond: number;
    readonly cpuMicrosPerSecond: number;
    readonly bytesPerSecond: number;
    readonly memoryBytes: number;
  };
  /** With all boxes up, and with those gone that may be lost. */
  readonly perBox: BoxLoad;
  readonly perBoxWhenLost: BoxLoad;
  /** Until the clients of the boxes lost are back. */
  readonly backSeconds: number;
  /** Until everybody is back, were all connections of all boxes cut at once. */
  readonly stormSeconds: number;
  readonly nats: NatsNeeds;
  /** Share by which CPU may be off: the worst error of runs that the prices were not fitted to. */
  readonly uncertainty: number;
}

/** What the boxes need of NATS together. */
export interface NatsNeeds {
  readonly inPerSecond: number;
  /** At the most: a box whose clients watch every room gets every message. */
  readonly outPerSecond: number;
  readonly outMbit: number;
  /** What its servers write to disk together, at three copies. */
  readonly storedMegabytesPerSecond: number;
}

export interface BoxLoad {
  readonly connections: number;
  /** Shares, 0 to 1. */
  readonly cores: number;
  readonly memory: number;
  readonly network: number;
  readonly gbit: number;
  readonly packetsPerSecond: number;
  readonly memoryGiB: number;
}

/** Frame, room, offsets and time around a message's data. */
export const MESSAGE_BYTES = 48;
/** Ethernet, IP and TCP with timestamps around a segment, and the gap between frames. */
const PACKET_BYTES = 90;
const SEGMENT_BYTES = 1_448;
/** A client acknowledges every other segment. */
const PACKETS_PER_WRITE = 1.5;
/** Subject, headers and what a message needs besides its data at NATS. */
const NATS_BYTES = 200;
const NATS_COPIES = 3;
/** A core's share of interrupts and the kernel's path bounds what a box sends; a common figure without tuning, a core. */
const PACKETS_PER_CORE = 250_000;
/** As `limits.handshakesPerSecond` has it by default, of a worker. */
const HANDSHAKES_PER_WORKER = 2_000;
/** While boxes are lost, the others may go up to this. */
export const LOST_UTILIZATION = 0.9;
const BOXES_MAX = 100_000;

/** @throws RangeError where no number of boxes is enough, with the reason. */
export function planFor(wish: Wish, calibration: Calibration): Plan {
  const client = clientOf(wish, calibration);
  const boxesBy: Record<Limit, number> = {
    cores: boxesFor("cores", wish, calibration, client),
    memory: boxesFor("memory", wish, calibration, client),
    network: boxesFor("network", wish, calibration, client),
    packets: boxesFor("packets", wish, calibration, client),
    reconnects: 1,
  };
  const survivors = Math.max(...Object.values(boxesBy));
  let boxes = Math.max(survivors, survivorsNeeded(wish, calibration, client) + wish.lost);
  if (wish.lost > 0) {
    while (boxes < BOXES_MAX && backSecondsOf(wish, calibration, client, boxes) > wish.backSeconds)
      boxes += 1;
    boxesBy.reconnects = boxesForReturn(wish, calibration, client, boxes);
  }
  const limit = (Object.keys(boxesBy) as Limit[]).reduce((most, name) => {
    return boxesBy[name] > boxesBy[most] && (name !== "reconnects" || boxesBy[name] > survivors + wish.lost)
      ? name
      : most;
  }, "cores");
  return {
    boxes,
    workersPerBox: wish.cores,
    limit,
    boxesBy,
    perClient: client,
    perBox: loadOf(wish, calibration, client, boxes),
    perBoxWhenLost: loadOf(wish, calibration, client, Math.max(1, boxes - wish.lost)),
    backSeconds: wish.lost > 0 ? backSecondsOf(wish, calibration, client, boxes) : 0,
    stormSeconds: stormSecondsOf(wish, calibration, client, boxes),
    nats: {
      inPerSecond: wish.updates,
      outPerSecond: wish.updates * boxes,
      outMbit: (wish.updates * boxes * (wish.bytes + NATS_BYTES) * 8) / 1e6,
      storedMegabytesPerSecond: (wish.updates * (wish.bytes + NATS_BYTES) * NATS_COPIES) / 1e6,
    },
    uncertainty: calibration.heldOut.worst,
  };
}

/**
 * What one client gets. Updates of a room come at random times; with a rate of r, of a room whose updates come u times a
 * second there is one in an interval with the chance 1 − e^(−u/r), and so with a write for all rooms together.
 */
function clientOf(wish: Wish, { prices, restMs, memory }: Calibration): Plan["perClient"] {
  const { roomsPerClient, rooms, updates, rate, batch } = wish;
  const wanted = (updates * roomsPerClient) / rooms;
  const perRoom = updates / rooms;
  const deliveries = rate === "all" ? wanted : roomsPerClient * rate * (1 - Math.exp(-perRoom / rate));
  const turns = rate === "all" ? updates / batch : rate;
  const writes = turns === 0 ? 0 : turns * (1 - Math.exp(-wanted / turns));
  const bytes = deliveries * (wish.bytes + MESSAGE_BYTES);
  const cold = writes === 0 ? 0 : writes * coldShare(writes, restMs);
  const work: Work = {
    write: writesFor(writes, bytes),
    cold,
    message: deliveries,
    byte: bytes,
    publish: 0,
    batch: 0,
    second: 1,
  };
  const segments = writes * Math.max(1, Math.ceil(bytes / Math.max(writes, 1e-9) / SEGMENT_BYTES));
  return {
    deliveriesPerSecond: deliveries,
    writesPerSecond: writes,
    cpuMicrosPerSecond: cpuOf(prices, work),
    bytesPerSecond: bytes + segments * PACKET_BYTES,
    memoryBytes: memory.connectionBytes + roomsPerClient * memory.subscriptionBytes + memory.kernelBytes,
  };
}

function loadOf(
  wish: Wish,
  { prices, memory }: Calibration,
  client: Plan["perClient"],
  boxes: number,
): BoxLoad {
  const connections = Math.ceil(wish.connections / boxes);
  // Every worker has every room open, as good as, and takes each message in once; the hub does so once more. A request comes to one
  // worker of one box.
  const publishMicros =
    wish.updates * (prices.publish * (wish.cores + 1) + prices.batch / wish.batch / boxes);
  const cpuMicros = connections * client.cpuMicrosPerSecond + publishMicros;
  const memoryBytes = connections * client.memoryBytes + (wish.cores + 2) * memory.workerBytes;
  const bits = connections * client.bytesPerSecond * 8 + wish.updates * (wish.bytes + NATS_BYTES) * 8;
  return {
    connections,
    cores: cpuMicros / 1e6 / wish.cores,
    memory: memoryBytes / (wish.memoryGiB * 2 ** 30),
    network: bits / (wish.nicGbit * 1e9),
    gbit: bits / 1e9,
    packetsPerSecond: connections * client.writesPerSecond * PACKETS_PER_WRITE,
    memoryGiB: memoryBytes / 2 ** 30,
  };
}

export type Share = Exclude<Limit, "reconnects">;

/** 0 to 1, of what a box has. */
export function shareOf(name: Share, load: BoxLoad, { cores }: Wish): number {
  return name === "packets" ? load.packetsPerSecond / (PACKETS_PER_CORE * cores) : load[name];
}

/** What every box has to bear, however few clients it has. */
const TOO_MUCH: Readonly<Record<Share, string>> = {
  cores:
    "its messages a second are more than a worker takes in, however many boxes there are: split the rooms over several " +
    "deployments, or put several updates into one message",
  memory: "the workers alone take more memory than a box may use: give it more, or fewer cores",
  network: "taking the messages in is more than the network may carry, however many boxes there are",
  packets: "a single client is more packets than a box may send",
};

/** The fewest boxes with which that share of one is not above what may be used. */
function boxesFor(
  name: Share,
  wish: Wish,
  calibration: Calibration,
  client: Plan["perClient"],
  most = wish.utilization,
): number {
  const fits = (boxes: number): boolean =>
    shareOf(name, loadOf(wish, calibration, client, boxes), wish) <= most;
  if (!fits(BOXES_MAX)) throw new RangeError(`No number of boxes is enough: ${TOO_MUCH[name]}`);
  let [low, high] = [1, BOXES_MAX];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (fits(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Boxes that carry everything while others are lost. */
function survivorsNeeded(wish: Wish, calibration: Calibration, client: Plan["perClient"]): number {
  const shares: readonly Share[] = ["cores", "memory", "network", "packets"];
  return Math.max(...shares.map((name) => boxesFor(name, wish, calibration, client, LOST_UTILIZATION)));
}

/** Fewest boxes that would take back in time the clients of those lost, whatever else asks for more; `enough` do. */
function boxesForReturn(
  wish: Wish,
  calibration: Calibration,
  client: Plan["perClient"],
  enough: number,
): number {
  let boxes = enough;
  while (boxes > wish.lost + 1 && backSecondsOf(wish, calibration, client, boxes - 1) <= wish.backSeconds)
    boxes -= 1;
  return boxes;
}

/** How long the clients of the boxes lost take to be back, with what the others have left. */
function backSecondsOf(
  wish: Wish,
  calibration: Calibration,
  client: Plan["perClient"],
  boxes: number,
): number {
  const left = boxes - wish.lost;
  if (left < 1) return Number.POSITIVE_INFINITY;
  const { connections } = loadOf(wish, calibration, client, boxes);
  return (connections * wish.lost) / (left * returnsPerSecond(wish, calibration, client, boxes));
}

function stormSecondsOf(
  wish: Wish,
  calibration: Calibration,
  client: Plan["perClient"],
  boxes: number,
): number {
  const { connections } = loadOf(wish, calibration, client, boxes);
  return connections / returnsPerSecond(wish, calibration, client, boxes);
}

/** Connections that a box takes in a second beside what it does anyway. */
function returnsPerSecond(
  wish: Wish,
  calibration: Calibration,
  client: Plan["perClient"],
  boxes: number,
): number {
  const { cores } = loadOf(wish, calibration, client, boxes);
  const spareMicros = Math.max(0, 1 - cores) * wish.cores * 1e6;
  return Math.min(HANDSHAKES_PER_WORKER * wish.cores, spareMicros / Math.max(1, calibration.connectMicros));
}
