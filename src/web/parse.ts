/** What other people's programs publish is checked here, once; a message of another form is left out. */

export interface Quote {
  readonly rate: number;
  readonly previous: number;
  /** `2015-01-15`. */
  readonly date: string;
}

export interface CpuSample {
  readonly busy: number;
  readonly user: number;
  readonly system: number;
  readonly iowait: number;
  readonly steal: number;
  readonly cores: readonly number[];
  readonly load: readonly number[];
  readonly running: number;
  readonly switches: number;
}

export interface MemorySample {
  readonly total: number;
  readonly used: number;
  readonly cached: number;
  readonly swapTotal: number;
  readonly swapUsed: number;
}

export interface NetworkSample {
  readonly rx: number;
  readonly tx: number;
  readonly loopback: number;
  readonly connections: number;
  readonly retransmits: number;
}

export interface DiskSample {
  readonly read: number;
  readonly written: number;
  readonly busy: number;
}

export interface PressureSample {
  readonly cpu: number;
  readonly memory: number;
  readonly io: number;
}

/** Where a visitor points: a share of the width and height of a part of the page, so that it fits every screen. */
export interface Pointer {
  readonly name: string;
  /** The part's id; empty: the visitor has left. */
  readonly at: string;
  readonly x: number;
  readonly y: number;
}

/** A node of the deployment, as the feed tells of it. */
export interface DemoNode {
  /** Where its page is, on this page's host. */
  readonly port: number;
  /** The feed publishes to this one. */
  readonly feed: boolean;
}

const NAME_MAX = 24;
const CORES_MAX = 256;

export function parseQuote(data: unknown): Quote | undefined {
  const [rate, previous] = numbers(data, ["rate", "previous"]) ?? [];
  const date = field(data, "date");
  if (rate === undefined || previous === undefined || typeof date !== "string") return undefined;
  return rate > 0 && previous > 0 && /^\d{4}-\d\d-\d\d$/.test(date) ? { rate, previous, date } : undefined;
}

export function parseCpu(data: unknown): CpuSample | undefined {
  const names = ["busy", "user", "system", "iowait", "steal", "running", "switches"] as const;
  const values = record(data, names);
  const cores = numberList(field(data, "cores"));
  const load = numberList(field(data, "load"));
  if (values === undefined || cores === undefined || load === undefined) return undefined;
  return { ...values, cores: cores.slice(0, CORES_MAX), load };
}

export function parseMemory(data: unknown): MemorySample | undefined {
  return record(data, ["total", "used", "cached", "swapTotal", "swapUsed"] as const);
}

export function parseNetwork(data: unknown): NetworkSample | undefined {
  return record(data, ["rx", "tx", "loopback", "connections", "retransmits"] as const);
}

export function parseDisk(data: unknown): DiskSample | undefined {
  return record(data, ["read", "written", "busy"] as const);
}

export function parsePressure(data: unknown): PressureSample | undefined {
  return record(data, ["cpu", "memory", "io"] as const);
}

export function parsePointer(data: unknown): Pointer | undefined {
  const name = field(data, "name");
  const at = field(data, "at");
  const [x, y] = numbers(data, ["x", "y"]) ?? [];
  if (typeof name !== "string" || typeof at !== "string" || x === undefined || y === undefined)
    return undefined;
  if (name === "" || x < 0 || x > 1 || y < 0 || y > 1) return undefined;
  return { name: name.slice(0, NAME_MAX), at, x, y };
}

export function parseNode(data: unknown): DemoNode | undefined {
  const [port] = numbers(data, ["port"]) ?? [];
  const feed = field(data, "feed");
  if (port === undefined || !Number.isInteger(port) || port < 1 || port > 65_535) return undefined;
  return typeof feed === "boolean" ? { port, feed } : undefined;
}

function field(data: unknown, name: string): unknown {
  return typeof data === "object" && data !== null ? Reflect.get(data, name) : undefined;
}

function numbers(data: unknown, names: readonly string[]): number[] | undefined {
  return numberList(names.map((name) => field(data, name)));
}

function numberList(list: unknown): number[] | undefined {
  if (!Array.isArray(list)) return undefined;
  const found = list.filter((value): value is number => typeof value === "number" && Number.isFinite(value));
  return found.length === list.length ? found : undefined;
}

function record<const Names extends readonly string[]>(
  data: unknown,
  names: Names,
): { readonly [N in Names[number]]: number } | undefined {
  const values = numbers(data, names);
  if (values === undefined) return undefined;
  return Object.fromEntries(names.map((name, index) => [name, values[index]])) as {
    [N in Names[number]]: number;
  };
}
