import { DEFAULT_HUB_LIMITS } from "../broker/hub/hub-limits.js";
import { connectHub, type HubLink } from "../broker/hub/hub-link.js";
import { partitionedPresence } from "../broker/hub/link-presence.js";
import { partitioned, partitionOf } from "../broker/hub/partitioned.js";
import type { KeptRevocation } from "../server/auth/revocations.js";
import { Availability } from "../server/availability.js";
import { readFacts } from "../server/capacity-facts.js";
import { connectionsOfWorker, handshakesOfWorker } from "../server/capacity-limits.js";
import type { Config } from "../server/config.js";
import type { Logger } from "../server/log.js";
import { streamOf } from "../server/nats-options.js";
import { type RunningServer, type SharedBroker, startServer } from "../server/server.js";
import { type Program, runChild } from "./child-program.js";
import type { FromChild, ToChild, WorkerReport } from "./ipc.js";
import { startNeighbourLine } from "./neighbour-line.js";
import { RevocationLine } from "./revocation-line.js";

/** Hubs are started first; one that just crashed is back long before. */
const HUBS_MS = 10_000;
const STOP_MS = 1_000;

runChild("worker", async ({ config, index, workers, hubs, revocations }, log): Promise<Program> => {
  const line = new RevocationLine();
  const connections = connectionsOfWorker(config.limits.connections, workers);
  const connectionsPerAddress = connectionsOfWorker(config.limits.connectionsPerAddress, workers);
  const connectionsPerSub = connectionsOfWorker(config.limits.connectionsPerSub, workers);
  const handshakesPerSecond = handshakesOfWorker(config.limits.handshakesPerSecond, workers, readFacts());
  const own: Config = {
    ...config,
    node: `${config.node}.${index}`,
    limits: { ...config.limits, connections, connectionsPerAddress, connectionsPerSub, handshakesPerSecond },
  };
  let ending = false;
  const availability = new Availability((room) => partitionOf(room, hubs.length), streamOf(own));
  const links = hubs.map((socketPath, part) =>
    linkTo(socketPath, own, log, {
      isEnding: () => ending,
      onAvailable: (isAvailable) => availability.set(part, isAvailable),
      onAway: (streams) => availability.setAway(part, streams),
    }),
  );
  await Promise.all(links.map((link) => link.ready(HUBS_MS)));
  // Without hubs the worker hosts the broker itself.
  const shared = links.length === 0 ? {} : { broker: sharedBy(links, availability) };
  const spread = (kept: KeptRevocation): Promise<void> => line.spread(kept);
  const server = await startServer(own, { log, sharePort: true, revocations, spread, ...shared });
  line.attach(server);
  answerLooks(server);
  // Else a hub does.
  const talks = links.length === 0 && config.broker !== "memory";
  const leaveNeighbours = talks ? startNeighbourLine(config.node, server.gossip) : () => undefined;
  return {
    report: () => ({ worker: reportOf(server) }),
    drain: async (seconds) => {
      leaveNeighbours();
      await server.drain(seconds * 1_000);
      ending = true;
      await Promise.all(links.map((link) => link.stop(STOP_MS)));
    },
  };
});

/** Only when asked, which is while an operator looks. */
function answerLooks(server: RunningServer): void {
  const tell = (message: FromChild): void => {
    if (process.connected) process.send?.(message);
  };
  process.on("message", (message: ToChild) => {
    const look = message.kind === "look" ? server.look(message.rooms) : undefined;
    if (look !== undefined) tell({ kind: "look", look });
    if (message.kind !== "inspect") return;
    const report = server.inspect(message.room);
    tell({ kind: "inspected", id: message.id, ...(report && { report }) });
  });
}

interface LinkEvents {
  isEnding(): boolean;
  onAvailable(isAvailable: boolean): void;
  onAway(streams: readonly string[]): void;
}

function linkTo(
  socketPath: string,
  config: Config,
  log: Logger,
  { isEnding, onAvailable, onAway }: LinkEvents,
): HubLink {
  return connectHub({
    socketPath,
    worker: config.node,
    limits: { ...DEFAULT_HUB_LIMITS, bufferBytes: config.limits.hubBufferBytes },
    onStatus: (linked) => {
      if (linked) log.info({ socketPath }, "linked to the hub");
      else if (!isEnding()) log.warn({ socketPath }, "the hub is away");
    },
    onAvailable,
    onAway,
    onError: (cause) => log.error({ err: cause, socketPath }, "the link to the hub had an error"),
  });
}

/** Counters of all links, summed by name whenever they are read. */
function sharedBy(links: readonly HubLink[], availability: Availability): SharedBroker {
  return {
    broker: partitioned(links),
    presence: partitionedPresence(links.map((link) => link.presence)),
    availability,
    isAvailable: () => links.every(({ linked }) => linked),
    // Each hub says that of itself.
    away: () => [],
    counters: () => summed(links.map(({ counters }) => ({ ...counters }))),
  };
}

function summed(all: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const counters of all)
    for (const [name, value] of Object.entries(counters)) sums[name] = (sums[name] ?? 0) + value;
  return sums;
}

function reportOf(server: RunningServer): WorkerReport {
  return {
    connections: server.counters.connections,
    rooms: server.openRooms,
    brokerAvailable: server.isBrokerAvailable,
    brokerAway: server.brokerAway,
    counters: { engine: server.counters, gateway: server.gatewayCounters, broker: server.brokerCounters },
    telemetry: server.telemetry,
  };
}
