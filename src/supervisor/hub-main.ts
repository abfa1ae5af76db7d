import { rmdir } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Hub, startHub } from "../broker/hub/hub.js";
import { DEFAULT_HUB_LIMITS } from "../broker/hub/hub-limits.js";
import type { KeptRevocation } from "../server/auth/revocations.js";
import { startBroker, startPresence } from "../server/broker.js";
import { type Program, runChild } from "./child-program.js";
import { CARRIER_INDEX } from "./ipc.js";
import { startNeighbourLine } from "./neighbour-line.js";
import { RevocationCarrier } from "./revocation-carrier.js";

/** For workers that have drained and are still closing. */
const WORKERS_MS = 10_000;
const POLL_MS = 50;
const STOP_MS = 1_000;

runChild("hub", async ({ config, index, hubs }, log): Promise<Program> => {
  const socketPath = hubs[index];
  if (socketPath === undefined) throw new Error(`there is no socket for hub ${index}`);
  let hub: Hub | undefined;
  const onAvailable = (available: boolean): void => hub?.setAvailable(available);
  const onAway = (streams: readonly string[]): void => hub?.setAway(streams);
  // One of them speaks for the node.
  const carrier = index === CARRIER_INDEX ? new RevocationCarrier() : undefined;
  const onRevoked = carrier && ((kept: readonly KeptRevocation[]): void => carrier.learn(kept));
  const running = await startBroker(config, log, { share: hubs.length, onAvailable, onAway, onRevoked });
  carrier?.attach(running);
  const { broker, counters, isAvailable, away, stop } = running;
  const presence = startPresence(config, broker, `${config.node}.${index}`);
  const talks = index === CARRIER_INDEX && config.broker !== "memory";
  const leaveNeighbours = talks ? startNeighbourLine(config.node, broker.gossip) : () => undefined;
  hub = await startHub({
    broker,
    presence,
    socketPath,
    limits: { ...DEFAULT_HUB_LIMITS, bufferBytes: config.limits.hubBufferBytes },
    onError: (cause) => log.error({ err: cause }, "the hub had an error"),
  });
  hub.setAvailable(isAvailable());
  hub.setAway(away());
  return {
    report: () => ({
      hub: {
        links: hub.links,
        waitingBytes: hub.waitingBytes,
        brokerAvailable: isAvailable(),
        brokerAway: away(),
        counters: { hub: { ...hub.counters }, broker: { ...counters(), ...presence.counters } },
      },
    }),
    drain: async (seconds) => {
      const endMs = performance.now() + (seconds > 0 ? seconds * 1_000 + WORKERS_MS : 0);
      while (hub.links > 0 && performance.now() < endMs) await sleep(POLL_MS);
      await hub.stop(STOP_MS);
      presence.stop();
      leaveNeighbours();
      await stop(STOP_MS);
      // The supervisor removes it too, unless it was killed; it is not empty as long as another hub is there.
      await rmdir(dirname(socketPath)).catch(() => {});
    },
  };
});
