import { createBrokerCounters } from "../broker/counters.js";
import { KeyAge } from "../broker/key-age.js";
import { KeyLeases } from "../broker/key-leases.js";
import { MemoryBroker } from "../broker/memory.js";
import { PresenceHub } from "../broker/presence/presence-hub.js";
import type { Broker, Gossip } from "../core/ports.js";
import { listLimits } from "../core/presence/desk.js";
import { idOfRevocation, parseKept, textOfKept } from "./auth/kept-revocation.js";
import type { KeptRevocation } from "./auth/revocations.js";
import { usesTokens } from "./auth/uses-tokens.js";
import { type Config, settingsOf } from "./config.js";
import type { Logger } from "./log.js";
import { natsAccessOf, provisionOptionsOf } from "./nats-options.js";
import { usesPresence } from "./uses-presence.js";

/** A broker that this process hosts. */
export interface RunningBroker {
  readonly broker: Broker;
  /** Running totals, as they are now. */
  readonly counters: () => Readonly<Record<string, number>>;
  /** Whether it can store and read now. */
  readonly isAvailable: () => boolean;
  /** Which of its streams do not answer, though others do. */
  readonly away: () => readonly string[];
  /**
   * Tells all nodes that use this broker, those that start later too. Rejects with a CodedError where it is not stored.
   * Undefined: there are no others.
   */
  readonly revoke?: ((kept: KeptRevocation) => Promise<void>) | undefined;
  stop(deadlineMs: number): Promise<void>;
}

const SWEEP_MS = 1_000;
/** Below the time that a supervisor gives a process to start, so that the reason is told. */
const START_MS = 20_000;

export interface BrokerOptions {
  /** How many processes of this node the rooms are spread over: each has its part of the memory. Default: 1. */
  readonly share?: number;
  /** Told when it cannot be reached any more, and when it can again. */
  readonly onAvailable?: (isAvailable: boolean) => void;
  /** Told which of its streams cannot be reached though it can, at every change. */
  readonly onAway?: (streams: readonly string[]) => void;
  /**
   * Told which tokens are void by the word of any node: what is known already before the start resolves. Default: this process
   * need not know.
   */
  readonly onRevoked?: ((kept: readonly KeptRevocation[]) => void) | undefined;
}

/**
 * The broker that the configuration names. The only place that knows which there are.
 * @throws CodedError where NATS cannot be reached, or is provisioned for other settings.
 */
export async function startBroker(
  config: Config,
  log: Logger,
  options: BrokerOptions = {},
): Promise<RunningBroker> {
  return config.broker === "memory"
    ? startMemory(config, log, options.share ?? 1)
    : startNats(config, log, options);
}

/** Who is in rooms, for all workers of this process's broker. `name`: unique, and the same after a restart. Stop it before the broker. */
export function startPresence(config: Config, broker: Broker, name: string): PresenceHub {
  // In memory there is nobody to tell: each process has rooms of its own.
  const gossip = usesPresence(config) && config.broker !== "memory" ? gossipOf(broker) : undefined;
  return new PresenceHub({ name, limits: listLimits(config.limits), gossip });
}

/** A wrapper that forgets it would leave each node alone with its own, in silence. @throws Error */
function gossipOf({ gossip }: Broker): Gossip {
  if (gossip === undefined) throw new Error("the broker has no gossip, which presence over nodes needs");
  return gossip;
}

function startMemory(config: Config, log: Logger, share: number): RunningBroker {
  const counters = createBrokerCounters();
  const { bytes, rooms, ids, keysPerRoom } = config.memory;
  const part = (whole: number) => Math.ceil(whole / share);
  const broker = new MemoryBroker({
    settingsOf: settingsOf(config),
    limits: { bytes: part(bytes), rooms: part(rooms), ids: part(ids), keysPerRoom },
    counters,
    onSinkError: (cause, room) => log.error({ err: cause, room }, "a room's sink threw"),
  });
  const sweeper = setInterval(() => broker.sweep(), SWEEP_MS);
  const stop = async (deadlineMs: number): Promise<void> => {
    clearInterval(sweeper);
    await broker.stop(deadlineMs);
  };
  return { broker, counters: () => ({ ...counters }), isAvailable: () => true, away: () => [], stop };
}

async function startNats(
  config: Config,
  log: Logger,
  { share = 1, onAvailable = () => undefined, onAway = () => undefined, onRevoked }: BrokerOptions,
): Promise<RunningBroker> {
  const access = natsAccessOf(config);
  if (access === undefined) throw new Error("broker names no NATS server");
  // Nodes without NATS do without its client.
  const { startNatsBroker } = await import("../broker/nats/index.js");
  const { bytes, rooms, keysPerRoom } = config.memory;
  const { depth, elements, dataBytes, keyBytes } = config.limits;
  const {
    replicas,
    maxBytes,
    settings,
    prefix,
    partitions,
    revocations: bounds,
  } = provisionOptionsOf(config, access);
  const shares = usesTokens(config) && onRevoked !== undefined && bounds !== undefined;
  let away: readonly string[] = [];
  const broker = await startNatsBroker({
    access,
    settings,
    prefix,
    partitions,
    replicas,
    maxBytes,
    provision: config.nats.provision === "auto",
    name: `fanwire ${config.node}`,
    startMs: START_MS,
    gossips: usesPresence(config),
    ...(shares ? { revoked: { bounds, onRevoked: (texts) => onRevoked(parsed(texts, log)) } } : {}),
    limits: {
      depth,
      elements,
      dataBytes,
      keyBytes,
      keysPerRoom,
      openRooms: rooms,
      tailBytes: Math.ceil(bytes / share),
    },
    onStatus: (status) => {
      if (status === "away") log.warn({}, "NATS is away: nothing is stored, who is connected stays");
      else log.info({}, "NATS is back");
      onAvailable(status === "back");
    },
    onAway: (streams) => {
      if (streams.length > 0) log.warn({ streams }, "streams do not answer: their rooms get nothing new");
      else log.info({}, "all streams answer again");
      away = streams;
      onAway(streams);
    },
    onNotice: ({ level, text }) => log[level]({}, text),
    onSinkError: (cause, room) => log.error({ err: cause, room }, "a room's sink threw"),
  });
  const of = settingsOf(config);
  const leases = new KeyLeases(new KeyAge(broker, of), of, broker.counters);
  const sweeper = setInterval(() => leases.sweep(broker.available), SWEEP_MS);
  return {
    broker: leases,
    counters: () => ({ ...broker.counters }),
    isAvailable: () => broker.available,
    away: () => away,
    revoke: shares ? (kept) => broker.revoke(idOfRevocation(kept.revocation), textOfKept(kept)) : undefined,
    stop: async (deadlineMs) => {
      clearInterval(sweeper);
      await broker.stop(deadlineMs);
    },
  };
}

/** What a later version has written may be of a kind that is not known here. */
function parsed(texts: readonly string[], log: Logger): readonly KeptRevocation[] {
  return texts.flatMap((text) => {
    try {
      return [parseKept(text)];
    } catch (cause) {
      log.error({ err: cause }, "a revocation from NATS is not understood");
      return [];
    }
  });
}
