/** A hub that hosts the NATS broker and nothing else, as a child of the bench `bridge`. */
import { startHub } from "../../broker/hub/hub.js";
import { DEFAULT_HUB_LIMITS } from "../../broker/hub/hub-limits.js";
import { parseServers } from "../../broker/nats/connection.js";
import type { NatsBroker } from "../../broker/nats/nats-broker.js";
import { startNatsBroker } from "../../broker/nats/start.js";
import { DEFAULT_ROOM_SETTINGS } from "../../core/settings.js";
import { answerParent } from "../support/child.js";
import type { BridgeSettings } from "./servers.js";

export type HostRequest =
  | ({ readonly kind: "listen"; readonly socketPath: string; readonly urls: string } & BridgeSettings)
  | { readonly kind: "counters" };

export type HostReply =
  | { readonly kind: "listening" }
  | {
      readonly kind: "counters";
      readonly counters: Readonly<Record<string, number>>;
      readonly rssBytes: number;
    };

let broker: NatsBroker | undefined;

async function answer(request: HostRequest): Promise<HostReply> {
  if (request.kind === "counters") {
    const counters: Record<string, number> = { ...broker?.counters };
    return { kind: "counters", counters, rssBytes: process.memoryUsage.rss() };
  }
  const { urls, prefix, partitions, replicas, socketPath } = request;
  broker = await startNatsBroker({
    access: parseServers(urls),
    settings: { defaults: DEFAULT_ROOM_SETTINGS, byName: {} },
    prefix,
    partitions,
    replicas: replicas === 1 ? 1 : 3,
    startMs: START_MS,
  });
  await startHub({ broker, socketPath, limits: DEFAULT_HUB_LIMITS, onError: console.error });
  return { kind: "listening" };
}

/** Making streams in a cluster that has just come up takes its time. */
const START_MS = 90_000;

answerParent(answer, () => process.exit(0));
