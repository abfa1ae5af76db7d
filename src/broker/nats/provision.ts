import { CodedError } from "../../protocol/errors.js";
import { type NatsAccess, NatsLink } from "./connection.js";
import { Control, type Versioned } from "./control.js";
import { ApiError, ERR_CODE, insist, JsApi, type Json, numberOf, objectOf } from "./js-api.js";
import { type ExistingStream, type PlanChange, planChange, type Step } from "./plan-change.js";
import { canonical, namespacesOf, type PlanRecord } from "./plan-record.js";
import { SERVER_MIN, serverFeatures } from "./server-version.js";
import type { RevocationBounds } from "./stream-config.js";
import { type NamespaceSettings, planStreams } from "./stream-plan.js";
import { Subjects } from "./subjects.js";

export interface ProvisionOptions {
  readonly access: NatsAccess;
  readonly settings: NamespaceSettings;
  readonly prefix: string;
  readonly partitions: number;
  /** Undefined: 3 in a cluster of at least three servers, else 1; what there is stays. */
  readonly replicas?: 1 | 3 | 5 | undefined;
  /** Of one stream; -1: as much as the server gives. */
  readonly maxBytes: number;
  /** Data of one message as nodes take it. */
  readonly dataBytes: number;
  /** Default: {@link DEFAULT_REVOCATIONS}. */
  readonly revocations?: RevocationBounds | undefined;
  /** For everything together. Default: 2 minutes. */
  readonly deadlineMs?: number;
  /** A cluster that knows of less than three servers is given this long to find more. Default: 30 seconds. */
  readonly clusterMs?: number;
  /** Ends it early: what was done until then stays, and doing it again does the rest. */
  readonly signal?: AbortSignal;
}

/** What there is and what would be done about it. */
export interface Provisioning {
  readonly change: PlanChange;
  readonly replicas: number;
  readonly server: string;
  /**
   * Does it.
   * @param force Also where data is lost.
   * @throws CodedError `bad_request` where it is impossible, or loses data without `force`; `unavailable` where the
   * server does not answer: what was done until then stays, and doing it again does the rest.
   */
  apply(force: boolean): Promise<void>;
  close(): Promise<void>;
}

/**
 * Looks at what there is and plans what to do. Close what it resolves with.
 * @throws CodedError `unavailable` where NATS cannot be reached, is too old, or has no JetStream for this account.
 */
export async function prepareProvisioning(options: ProvisionOptions): Promise<Provisioning> {
  const { access, signal } = options;
  const deadlineMs = options.deadlineMs ?? DEADLINE_MS;
  const link = await NatsLink.open(access, "fanwire provision", {}, deadlineMs, signal);
  signal?.addEventListener("abort", () => void link.close());
  try {
    return await prepare(link, options, deadlineMs);
  } catch (cause) {
    await link.close();
    throw cause;
  }
}

/** For tokens that live a day. */
export const DEFAULT_REVOCATIONS: RevocationBounds = Object.freeze({ count: 100_000, seconds: 86_400 + 60 });

const DEADLINE_MS = 120_000;

/** A cluster finds a leader, or there is no JetStream. */
const JETSTREAM_MS = 15_000;

const CLUSTER_MS = 30_000;
const CLUSTER_LOOK_MS = 100;

/** Streams made at once. More does not make a cluster faster. */
const CONCURRENCY = 8;

/** A server makes up a quorum, then an index file: a new stream takes its time. */
const STEP_MS = 10_000;

async function prepare(link: NatsLink, options: ProvisionOptions, deadlineMs: number): Promise<Provisioning> {
  const { enough, version } = serverFeatures(link.serverVersion);
  if (!enough)
    throw new CodedError(
      "unavailable",
      `nats-server ${version} is too old: ${SERVER_MIN} or newer is needed`,
    );
  const api = new JsApi(link);
  const subjects = new Subjects(options.prefix, options.partitions);
  const plan = planStreams(options.settings, subjects);
  const control = new Control(link, subjects);
  await api.insist("INFO", Math.min(deadlineMs, JETSTREAM_MS));
  const streams = await listStreams(api, subjects, deadlineMs);
  const record = streams.has(subjects.controlStream)
    ? await insist("NATS did not give the plan", deadlineMs, (timeoutMs) => control.readPlan(timeoutMs))
    : undefined;
  const replicas =
    options.replicas ??
    replicasNow(streams, subjects) ??
    (await replicasFor(link, Math.min(deadlineMs, options.clusterMs ?? CLUSTER_MS), options.signal));
  const { maxBytes, dataBytes, revocations = DEFAULT_REVOCATIONS } = options;
  const storage = { replicas, maxBytes, dataBytes, revocations };
  const change = planChange(plan, namespacesOf(options.settings), storage, {
    streams,
    record: record?.value,
  });
  return {
    change,
    replicas,
    server: version,
    apply: (force) => apply({ api, control, change, record, force, end: performance.now() + deadlineMs }),
    close: () => link.close(),
  };
}

interface Work {
  readonly api: JsApi;
  readonly control: Control;
  readonly change: PlanChange;
  readonly record: Versioned<PlanRecord> | undefined;
  readonly force: boolean;
  /** When to give up, by `performance.now()`: a cluster that has just begun finds no place for a stream for half a minute. */
  readonly end: number;
}

async function apply({ api, control, change, record, force, end }: Work): Promise<void> {
  if (change.problems.length > 0) throw new CodedError("bad_request", change.problems.join("; "));
  if (change.losses.length > 0 && !force)
    throw new CodedError(
      "bad_request",
      `data would be lost, which only --force does: ${change.losses.join("; ")}`,
    );
  if (change.control !== undefined) await applyStep(api, change.control, end);
  // Before the streams: a bound that is lowered must be known to readers when it bites.
  if (change.record !== undefined) await writePlan(control, change.record, record?.sequence ?? 0);
  const steps = [...change.steps];
  await Promise.all(
    Array.from({ length: CONCURRENCY }, async () => {
      for (let step = steps.shift(); step !== undefined; step = steps.shift())
        await applyStep(api, step, end);
    }),
  );
}

async function applyStep(api: JsApi, { kind, config }: Step, end: number): Promise<void> {
  const body: Json = { ...config };
  const verb = kind === "create" ? "CREATE" : "UPDATE";
  const what = `NATS did not ${kind} ${config.name}`;
  try {
    await insist(what, Math.max(STEP_MS, end - performance.now()), () =>
      api.call(`STREAM.${verb}.${config.name}`, body, STEP_MS),
    );
  } catch (cause) {
    if (!(cause instanceof ApiError)) throw cause;
    const hint = HINTS.get(cause.errCode);
    throw new CodedError("bad_request", `${what}: ${cause.message}${hint === undefined ? "" : `; ${hint}`}`);
  }
}

/** What to change, by the server's number of the error. */
const HINTS: ReadonlyMap<number, string> = new Map([
  [ERR_CODE.replicasWithoutCluster, "set nats.replicas to 1, or make a cluster of three servers"],
  [ERR_CODE.storageExceeded, "set nats.maxBytes lower, or max_file_store of the server or account higher"],
  [ERR_CODE.streamsExceeded, "set nats.partitions lower, or the account's limit of streams higher"],
  [ERR_CODE.subjectsOverlap, "another stream stores these subjects: choose another nats.prefix"],
]);

async function writePlan(control: Control, plan: PlanRecord, after: number): Promise<void> {
  const isWritten = await insist("NATS did not store the plan", STEP_MS, () =>
    control.writePlan(plan, after),
  );
  if (isWritten) return;
  // A try whose answer was lost may have written it.
  const now = await control.readPlan();
  if (canonical(now?.value) !== canonical(plan))
    throw new CodedError(
      "unavailable",
      "somebody else provisions at this moment: look at the plan again",
      1_000,
    );
}

/** Every stream whose name begins with the prefix. */
async function listStreams(
  api: JsApi,
  subjects: Subjects,
  deadlineMs: number,
): Promise<ReadonlyMap<string, ExistingStream>> {
  const found = new Map<string, ExistingStream>();
  const begin = `${subjects.prefix.toUpperCase()}_`;
  for (let offset = 0, total = 1; offset < total; ) {
    const page = await api.insist("STREAM.LIST", deadlineMs, { offset });
    const streams = Array.isArray(page.streams) ? page.streams.map(objectOf) : [];
    total = numberOf(page.total);
    offset += Math.max(1, streams.length);
    for (const { config, state } of streams) {
      const name = String(objectOf(config).name);
      if (name.startsWith(begin))
        found.set(name, { config: objectOf(config), messages: numberOf(objectOf(state).messages) });
    }
  }
  return found;
}

function replicasNow(streams: ReadonlyMap<string, ExistingStream>, subjects: Subjects): number | undefined {
  const replicas = streams.get(subjects.controlStream)?.config.num_replicas;
  return typeof replicas === "number" ? replicas : undefined;
}

/**
 * How many servers there are, a connection is told by the addresses that it may use besides its own, and told anew when
 * one joins. Streams that got one replica because two servers were up first would stay so.
 */
async function replicasFor(link: NatsLink, waitMs: number, signal?: AbortSignal): Promise<1 | 3> {
  const end = performance.now() + waitMs;
  for (;;) {
    const { info } = link.connection;
    if (new Set(info?.connect_urls ?? []).size >= 3) return 3;
    if (info?.cluster === undefined || performance.now() >= end || signal?.aborted) return 1;
    await new Promise((resolve) => setTimeout(resolve, CLUSTER_LOOK_MS));
  }
}
