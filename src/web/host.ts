import { formatBytes, formatCount, formatShare } from "./format.js";
import { parseCpu, parseDisk, parseMemory, parseNetwork, parsePressure } from "./parse.js";

/** What a panel shows of one sample. */
export interface Reading {
  /** One a trace, in the panel's order. */
  readonly values: readonly number[];
  readonly headline: string;
  /** By the note's name in index.html. */
  readonly notes: Readonly<Record<string, string>>;
  /** Busy share of each core; only the processor's panel. */
  readonly cores?: readonly number[];
}

export interface HostPanel {
  readonly room: string;
  /** The panel's id in index.html. */
  readonly id: string;
  readonly traces: number;
  /** The chart's top: this, and where `grows` is true as much as the largest value if that is more. */
  readonly top: number;
  readonly grows: boolean;
  /** Undefined where the data is not of the room's form. */
  readonly read: (data: unknown) => Reading | undefined;
}

const rate = (bytes: number): string => `${formatBytes(bytes)}/s`;

/** The host's rooms and how each is shown. */
export const HOST_PANELS: readonly HostPanel[] = [
  { room: "host.cpu", id: "cpu", traces: 2, top: 1, grows: false, read: readCpu },
  { room: "host.memory", id: "memory", traces: 1, top: 1, grows: false, read: readMemory },
  { room: "host.network", id: "network", traces: 2, top: 100_000, grows: true, read: readNetwork },
  { room: "host.disk", id: "disk", traces: 2, top: 1_000_000, grows: true, read: readDisk },
  { room: "host.pressure", id: "pressure", traces: 3, top: 0.1, grows: true, read: readPressure },
];

function readCpu(data: unknown): Reading | undefined {
  const sample = parseCpu(data);
  if (sample === undefined) return undefined;
  return {
    values: [sample.busy, sample.system],
    headline: formatShare(sample.busy),
    notes: {
      user: formatShare(sample.user),
      system: formatShare(sample.system),
      load: sample.load.map((load) => load.toFixed(2)).join("  "),
      switches: `${formatCount(sample.switches)}/s`,
    },
    cores: sample.cores,
  };
}

function readMemory(data: unknown): Reading | undefined {
  const sample = parseMemory(data);
  if (sample === undefined) return undefined;
  return {
    values: [sample.used / Math.max(1, sample.total)],
    headline: formatBytes(sample.used),
    notes: {
      total: formatBytes(sample.total),
      cached: formatBytes(sample.cached),
      swap: sample.swapTotal === 0 ? "none" : formatBytes(sample.swapUsed),
    },
  };
}

function readNetwork(data: unknown): Reading | undefined {
  const sample = parseNetwork(data);
  if (sample === undefined) return undefined;
  return {
    values: [sample.loopback, sample.rx + sample.tx],
    headline: rate(sample.loopback + sample.rx + sample.tx),
    notes: {
      loopback: rate(sample.loopback),
      in: rate(sample.rx),
      out: rate(sample.tx),
      tcp: `${formatCount(sample.connections)} open, ${formatCount(sample.retransmits)} resent/s`,
    },
  };
}

function readDisk(data: unknown): Reading | undefined {
  const sample = parseDisk(data);
  if (sample === undefined) return undefined;
  return {
    values: [sample.written, sample.read],
    headline: rate(sample.written + sample.read),
    notes: { written: rate(sample.written), read: rate(sample.read), busy: formatShare(sample.busy) },
  };
}

function readPressure(data: unknown): Reading | undefined {
  const sample = parsePressure(data);
  if (sample === undefined) return undefined;
  return {
    values: [sample.cpu, sample.memory, sample.io],
    headline: formatShare(Math.max(sample.cpu, sample.memory, sample.io)),
    notes: {
      cpu: formatShare(sample.cpu),
      memory: formatShare(sample.memory),
      disk: formatShare(sample.io),
    },
  };
}
