/** What the node tells: parsed once, so that the views need not doubt it. */
export interface Stats {
  readonly connections: number;
  readonly received: number;
  readonly published: number;
  readonly deliveries: number;
  readonly sentBytes: number;
  readonly lagged: number;
  /** From publish to socket; undefined where nothing was delivered. */
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
  readonly brokerMs: number | undefined;
  readonly lagMs: number;
  /** Undefined where there are no hubs. */
  readonly hubLagMs: number | undefined;
  readonly hubBytes: number;
  /** Percent of a core. */
  readonly cpu: readonly (readonly [process: string, percent: number])[];
}

export interface NodeFacts {
  readonly node: string;
  readonly version: string;
  readonly state: string;
  readonly ready: boolean;
  readonly reasons: readonly string[];
  /** What part of the rooms gets nothing new. */
  readonly degraded: readonly string[];
  readonly uptimeSeconds: number;
  readonly connections: number;
  readonly connectionsMax: number;
}

export interface ProcessFacts {
  readonly role: string;
  readonly index: number;
  readonly state: string;
  readonly isStale: boolean;
  readonly crashes: number;
  readonly brokerAvailable: boolean;
  readonly pid: number | undefined;
  readonly uptimeSeconds: number | undefined;
  readonly cpu: number | undefined;
  readonly rssBytes: number | undefined;
  readonly lagMs: number | undefined;
  readonly connections: number | undefined;
  readonly rooms: number | undefined;
  readonly received: number | undefined;
  readonly deliveries: number | undefined;
  readonly lagged: number | undefined;
  readonly waitingBytes: number | undefined;
}

export interface Ranked {
  readonly room: string;
  readonly count: number;
}

export interface TopRooms {
  /** Undefined: not known yet. */
  readonly subscribers: readonly Ranked[] | undefined;
  readonly bytes: readonly Ranked[] | undefined;
}

export interface SlowFacts {
  readonly session: string;
  readonly sub: string;
  readonly worker: number;
  readonly state: string;
  readonly bufferedBytes: number;
  readonly stillMs: number;
}

export interface Slow {
  readonly watched: number;
  readonly clients: readonly SlowFacts[];
}

export interface EventFacts {
  readonly level: string;
  readonly text: string;
}

type Fields = Readonly<Record<string, unknown>>;

export function fieldsOf(value: unknown): Fields | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
}

export function numberOf(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}

export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

export function listOf<T>(value: unknown, parse: (item: unknown) => T | undefined): readonly T[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((item) => {
    const parsed = parse(item);
    return parsed === undefined ? [] : [parsed];
  });
}

export function parseStats(data: unknown): Stats | undefined {
  const fields = fieldsOf(data);
  if (fields === undefined) return undefined;
  const count = (name: string): number => numberOf(fields[name]) ?? 0;
  return {
    connections: count("connections"),
    received: count("received"),
    published: count("published"),
    deliveries: count("deliveries"),
    sentBytes: count("sentBytes"),
    lagged: count("lagged"),
    p50Ms: numberOf(fields.p50Ms),
    p99Ms: numberOf(fields.p99Ms),
    brokerMs: numberOf(fields.brokerMs),
    lagMs: count("lagMs"),
    hubLagMs: numberOf(fields.hubLagMs),
    hubBytes: count("hubBytes"),
    cpu: listOf(fields.cpu, (item): readonly [string, number] | undefined =>
      Array.isArray(item) ? [textOf(item[0]), numberOf(item[1]) ?? 0] : undefined,
    ),
  };
}

export function parseNode(data: unknown): NodeFacts | undefined {
  const fields = fieldsOf(data);
  if (fields === undefined) return undefined;
  return {
    node: textOf(fields.node),
    version: textOf(fields.version),
    state: textOf(fields.state),
    ready: fields.ready === true,
    reasons: listOf(fields.reasons, textOf),
    degraded: listOf(fields.degraded, textOf),
    uptimeSeconds: numberOf(fields.uptimeSeconds) ?? 0,
    connections: numberOf(fields.connections) ?? 0,
    connectionsMax: numberOf(fields.connectionsMax) ?? 0,
  };
}

export function parseProcess(data: unknown): ProcessFacts | undefined {
  const fields = fieldsOf(data);
  if (fields === undefined) return undefined;
  return {
    role: textOf(fields.role),
    index: numberOf(fields.index) ?? 0,
    state: textOf(fields.state),
    isStale: fields.isStale === true,
    crashes: numberOf(fields.crashes) ?? 0,
    brokerAvailable: fields.brokerAvailable !== false,
    pid: numberOf(fields.pid),
    uptimeSeconds: numberOf(fields.uptimeSeconds),
    cpu: numberOf(fields.cpu),
    rssBytes: numberOf(fields.rssBytes),
    lagMs: numberOf(fields.lagMs),
    connections: numberOf(fields.connections),
    rooms: numberOf(fields.rooms),
    received: numberOf(fields.received),
    deliveries: numberOf(fields.deliveries),
    lagged: numberOf(fields.lagged),
    waitingBytes: numberOf(fields.waitingBytes),
  };
}

export function parseRooms(data: unknown): TopRooms | undefined {
  const fields = fieldsOf(data);
  if (fields === undefined) return undefined;
  const ranking = (value: unknown): readonly Ranked[] | undefined =>
    Array.isArray(value) ? listOf(value, parseRanked) : undefined;
  return { subscribers: ranking(fields.subscribers), bytes: ranking(fields.bytes) };
}

function parseRanked(data: unknown): Ranked | undefined {
  const fields = fieldsOf(data);
  return fields && { room: textOf(fields.room), count: numberOf(fields.count) ?? 0 };
}

export function parseSlow(data: unknown): Slow | undefined {
  const fields = fieldsOf(data);
  return fields && { watched: numberOf(fields.watched) ?? 0, clients: listOf(fields.clients, parseClient) };
}

function parseClient(data: unknown): SlowFacts | undefined {
  const fields = fieldsOf(data);
  if (fields === undefined) return undefined;
  return {
    session: textOf(fields.session),
    sub: textOf(fields.sub),
    worker: numberOf(fields.worker) ?? 0,
    state: textOf(fields.state),
    bufferedBytes: numberOf(fields.bufferedBytes) ?? 0,
    stillMs: numberOf(fields.stillMs) ?? 0,
  };
}

export function parseEvent(data: unknown): EventFacts | undefined {
  const fields = fieldsOf(data);
  return fields && { level: textOf(fields.level), text: textOf(fields.text) };
}
