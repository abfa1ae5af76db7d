import { HistoryBudget } from "../../core/history-budget.js";
import { CodedError } from "../../protocol/errors.js";
import type { RoomName } from "../../protocol/room-name.js";
import { type NatsAccess, NatsLink } from "./connection.js";
import { Control } from "./control.js";
import { Echoes } from "./echoes.js";
import { EphemeralRooms } from "./ephemeral.js";
import { EpochKeeper } from "./epoch-keeper.js";
import { FlowReader } from "./flow-reader.js";
import { Gate } from "./gate.js";
import { NatsGossip } from "./gossip.js";
import { insist, JsApi } from "./js-api.js";
import { DEFAULT_NATS_LIMITS, type NatsLimits } from "./limits.js";
import { LiveRooms } from "./live-rooms.js";
import { NatsBroker } from "./nats-broker.js";
import { createNatsCounters, type NatsCounters } from "./nats-counters.js";
import { createReadDesk } from "./nats-reads.js";
import type { Delivery } from "./open-room.js";
import { PatternWatch } from "./pattern-watch.js";
import { differences, differenceText, namespacesOf, type PlanRecord } from "./plan-record.js";
import { probe } from "./probe.js";
import { prepareProvisioning } from "./provision.js";
import { Publisher } from "./publisher.js";
import { Purges } from "./purges.js";
import { readStreams } from "./read-streams.js";
import { RevokedLog } from "./revoked-log.js";
import { hasEphemeral, mayGossip, RightsKeeper, rightsOfNode } from "./rights.js";
import { RoomCatalog } from "./room-catalog.js";
import { RoomReader } from "./room-reader.js";
import { SERVER_MIN, serverFeatures } from "./server-version.js";
import type { RevocationBounds } from "./stream-config.js";
import { type NamespaceSettings, planStreams } from "./stream-plan.js";
import { StreamReader } from "./stream-reader.js";
import { Subjects } from "./subjects.js";
import { Watch } from "./watch.js";

/** Something that an operator may want to know. */
export interface NatsNotice {
  readonly level: "info" | "warn" | "error";
  readonly text: string;
}

export interface NatsBrokerOptions {
  readonly access: NatsAccess;
  /** Settings of all namespaces; must be those that were provisioned. */
  readonly settings: NamespaceSettings;
  /** Begins the names of subjects and streams. Default: fw. */
  readonly prefix?: string;
  /** Must be the number that was provisioned. Default: 64. */
  readonly partitions?: number;
  /** Create streams that are not there. Default: true; never changes or removes what is there. */
  readonly provision?: boolean;
  /** Of streams that are created: undefined as many as the cluster allows, 3 at most. */
  readonly replicas?: 1 | 3 | 5 | undefined;
  /** Of one stream that is created; default -1: as much as the server gives. */
  readonly maxBytes?: number;
  /** Shown by the server's monitoring. Default: fanwire. */
  readonly name?: string;
  readonly limits?: Partial<NatsLimits>;
  readonly counters?: NatsCounters;
  /**
   * Shares revocations of tokens with the other nodes: told what is void, all that is stored before this node serves.
   * Default: this node does not.
   */
  /** Whether {@link NatsBroker.gossip} must be there, for which more rights are needed. Default: it is where the rights are there. */
  readonly gossips?: boolean;
  readonly revoked?: {
    readonly bounds: RevocationBounds;
    readonly onRevoked: (texts: readonly string[]) => void;
  };
  /** How long the start may take. Default: 30 seconds. */
  readonly startMs?: number;
  /** Milliseconds since 1970. Default: the clock. */
  readonly nowMs?: () => number;
  /** NATS was lost, or is back. */
  readonly onStatus?: (status: "away" | "back") => void;
  /** Streams have not answered for long, though others do: their rooms get nothing new. At every change; none: all answer. */
  readonly onAway?: (streams: readonly string[]) => void;
  readonly onNotice?: (notice: NatsNotice) => void;
  /** Told what a sink threw; must not throw. Default: a process warning. */
  readonly onSinkError?: (cause: unknown, room: RoomName) => void;
}

const DEFAULT_PARTITIONS = 64;
const DEFAULT_PREFIX = "fw";

const START_MS = 30_000;

/** Reads of one message at once; more only wait inside the server. */
const FINDS = 64;

/**
 * Connects to NATS, sees that this node's settings are those of the deployment, and serves.
 * @throws CodedError `unavailable` where NATS cannot be reached in time or is too old; `unauthenticated` where it refuses the
 * credentials; `forbidden` where its user lacks rights, naming them; `bad_request` where nothing is provisioned and it is
 * not to do that itself, or where other settings were provisioned: it says which.
 */
export async function startNatsBroker(options: NatsBrokerOptions): Promise<NatsBroker> {
  const startMs = options.startMs ?? START_MS;
  const name = options.name ?? "fanwire";
  const hooks: { watch: Watch | undefined; rights: RightsKeeper | undefined } = {
    watch: undefined,
    rights: undefined,
  };
  const live = await NatsLink.open(
    options.access,
    name,
    {
      disconnected: () => hooks.watch?.disconnected(),
      reconnected: (server) => {
        hooks.watch?.reconnected(server);
        void hooks.rights?.look();
      },
      complained: (cause) => hooks.watch?.complained(cause),
      closed: (cause) => hooks.watch?.closed(cause),
    },
    startMs,
  );
  let replay: NatsLink | undefined;
  try {
    replay = await NatsLink.open(options.access, `${name} replay`, {}, startMs);
    const { broker, watch, rights } = await assemble(options, live, replay, startMs);
    hooks.watch = watch;
    hooks.rights = rights;
    watch.start();
    return broker;
  } catch (cause) {
    await Promise.all([live.close(), replay?.close()]);
    throw cause;
  }
}

async function assemble(
  options: NatsBrokerOptions,
  live: NatsLink,
  replay: NatsLink,
  startMs: number,
): Promise<{ broker: NatsBroker; watch: Watch; rights: RightsKeeper }> {
  const { enough, version } = serverFeatures(live.serverVersion);
  if (!enough)
    throw new CodedError(
      "unavailable",
      `nats-server ${version} is too old: ${SERVER_MIN} or newer is needed`,
    );
  const subjects = new Subjects(options.prefix ?? DEFAULT_PREFIX, options.partitions ?? DEFAULT_PARTITIONS);
  const plan = planStreams(options.settings, subjects);
  const limits: NatsLimits = Object.freeze({ ...DEFAULT_NATS_LIMITS, ...options.limits });
  const counters = options.counters ?? createNatsCounters();
  const nowMs = options.nowMs ?? Date.now;
  const notice = options.onNotice ?? (() => undefined);
  const needed = rightsOfNode(
    plan,
    options.settings,
    options.revoked !== undefined,
    options.gossips ?? false,
  );
  const rights = new RightsKeeper(live, needed, (text) => notice({ level: "error", text }));
  await rights.insist(startMs);
  const mayTalk = options.gossips || (await mayGossip(live, subjects, startMs));
  const control = new Control(replay, subjects);
  const record = await agree(options, control, subjects, limits, startMs);
  const reads = new StreamReader(replay);
  const gate = new Gate(limits.cursors);
  const streams = await readStreams(plan, record, control, reads, gate, startMs);
  const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  const onTrouble = (text: string): void => notice({ level: "warn", text });
  const revoked =
    options.revoked &&
    new RevokedLog({
      // The connection whose loss and return are watched.
      link: live,
      reads: new StreamReader(live),
      subjects,
      seconds: options.revoked.bounds.seconds,
      onRevoked: options.revoked.onRevoked,
      onTrouble,
    });
  await revoked?.begin(startMs);
  const publisher = new Publisher(live, limits, counters, nowMs);
  const keeper: EpochKeeper = new EpochKeeper({
    streams,
    reads,
    control,
    counters,
    probe: (stream) => probe(publisher, subjects, stream, nowMs()),
    onNewEpoch: (stream) => {
      flows.restart(stream);
      patterns.restart(stream);
    },
    onTrouble,
    wait,
  });
  const purges = new Purges({
    control,
    streams,
    nowMs: () => performance.now(),
    wait,
    onTrouble,
    onPurged: (stream, token, upTo) => flows.purged(stream, token, upTo),
  });
  await insist("NATS did not say which rooms were purged", startMs, (timeoutMs) => purges.read(timeoutMs));
  const rooms = new RoomReader(reads, keeper.observe, limits.readBatch, (place) => purges.upTo(place));
  const onSinkError = options.onSinkError ?? warn;
  const delivery: Delivery = {
    limits,
    counters,
    nowMs,
    tailBudget: new HistoryBudget(limits.tailBytes),
    onSinkError,
  };
  const reader = new FlowReader({
    live: new StreamReader(live),
    replay: reads,
    subjects,
    observe: keeper.observe,
    gate,
    finds: new Gate(FINDS),
    batch: limits.readBatch,
  });
  const flows: LiveRooms = new LiveRooms({
    link: live,
    reader,
    subjects,
    streams,
    keeper,
    delivery,
    onTrouble,
    onPurgeSeen: (stream, token, upTo) => purges.note(stream, token, upTo),
    onAnswering: (isAnswering) => watch.answering(isAnswering),
    onAway: options.onAway ?? (() => undefined),
  });
  const echoes = new Echoes(limits.graceMs, nowMs, (room, sequence) => flows.exists(room, sequence));
  const ephemeral = new EphemeralRooms(live, subjects, delivery);
  const patterns: PatternWatch = new PatternWatch({
    ...{ plan, link: live, reader, subjects, streams, keeper, limits, delivery, flows, ephemeral, onTrouble },
    hasEphemeral: hasEphemeral(options.settings),
  });
  const watch: Watch = new Watch({
    live,
    replay,
    control,
    subjects,
    streams,
    settings: options.settings,
    publisher,
    flows,
    patterns,
    ephemeral,
    echoes,
    keeper,
    purges,
    revoked,
    limits,
    counters,
    onStatus: options.onStatus ?? (() => undefined),
    notice,
  });
  const broker = new NatsBroker({
    plan,
    streams,
    delivery,
    live,
    publisher,
    flows,
    gossip: mayTalk
      ? new NatsGossip(live, subjects.presence, () => {
          counters.droppedGossip += 1;
        })
      : undefined,
    ephemeral,
    patterns,
    echoes,
    keeper,
    revoked,
    rooms,
    catalog: new RoomCatalog({
      plan,
      streams,
      api: new JsApi(replay),
      readMs: limits.readMs,
      onRefused: () => {
        counters.refusedLists += 1;
      },
    }),
    desk: createReadDesk({
      reads,
      rooms,
      observe: keeper.observe,
      limits,
      counters,
      nowMs,
      manyFilters: () => serverFeatures(replay.serverVersion).manyFilters,
      open: (room) => flows.room(room),
    }),
    gate,
    refusal: () => watch.refusal ?? rights.refusal,
    awayMs: () => watch.awayMs,
    isAnswering: () => watch.isAnswering,
    stop: (deadlineMs) => watch.stop(deadlineMs),
  });
  return { broker, watch, rights };
}

/** The deployment's plan, made where there is none. @throws CodedError `bad_request` where it is another than this node's. */
async function agree(
  options: NatsBrokerOptions,
  control: Control,
  subjects: Subjects,
  limits: NatsLimits,
  startMs: number,
): Promise<PlanRecord> {
  const read = (): Promise<PlanRecord | undefined> =>
    insist(
      "NATS did not give the plan",
      startMs,
      async (timeoutMs) => (await control.readPlan(timeoutMs))?.value,
    );
  let record = await read();
  if (record === undefined && (options.provision ?? true)) {
    await provision(options, subjects, limits, startMs);
    record = await read();
  }
  if (record === undefined)
    throw new CodedError("bad_request", 'nothing is provisioned in NATS: run "fanwire nats provision" first');
  const found = differences(subjects.partitions, namespacesOf(options.settings), record);
  if (found.length === 0) return record;
  throw new CodedError(
    "bad_request",
    `this node's settings are not those that were provisioned, and nodes that differ must not run together: ${found
      .map(differenceText)
      .join("; ")}. Set them alike, or run "fanwire nats provision" with the new ones`,
  );
}

/** @throws CodedError `forbidden` where this node's user may not do that. */
async function provision(
  options: NatsBrokerOptions,
  subjects: Subjects,
  limits: NatsLimits,
  startMs: number,
): Promise<void> {
  try {
    const provisioning = await prepareProvisioning({
      access: options.access,
      settings: options.settings,
      prefix: subjects.prefix,
      partitions: subjects.partitions,
      replicas: options.replicas,
      maxBytes: options.maxBytes ?? -1,
      revocations: options.revoked?.bounds,
      dataBytes: limits.dataBytes,
      deadlineMs: startMs,
      // Most of the time is for the streams.
      clusterMs: startMs / 4,
    });
    try {
      await provisioning.apply(false);
    } finally {
      await provisioning.close();
    }
  } catch (cause) {
    if (!(cause instanceof CodedError && cause.code === "forbidden")) throw cause;
    throw new CodedError(
      "forbidden",
      `nothing is provisioned in NATS: run "fanwire nats provision" as a user who may, which this node's may not: ${cause.message}`,
    );
  }
}

function warn(cause: unknown, room: RoomName): void {
  process.emitWarning(
    `the sink of room ${room} threw: ${cause instanceof Error ? cause.stack : String(cause)}`,
  );
}
