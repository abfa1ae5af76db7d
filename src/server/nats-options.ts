import { type NatsAccess, parseServers } from "../broker/nats/connection.js";
import type { ProvisionOptions } from "../broker/nats/provision.js";
import { type NamespaceSettings, placeOf, planStreams } from "../broker/nats/stream-plan.js";
import { encodeRoom, Subjects } from "../broker/nats/subjects.js";
import type { RoomName } from "../protocol/room-name.js";
import { keepSeconds } from "./auth/revocations.js";
import type { Config } from "./config.js";
import { resolveSettings } from "./config-rules.js";

/** How the configured NATS is reached; undefined where rooms live in memory. */
export function natsAccessOf({ broker, nats }: Pick<Config, "broker" | "nats">): NatsAccess | undefined {
  if (broker === "memory") return undefined;
  const { servers, tls } = parseServers(broker);
  const { caFile, certFile, keyFile } = nats;
  const files = [caFile, certFile, keyFile].some((file) => file !== "");
  return {
    servers,
    user: given(nats.user),
    password: given(nats.password),
    token: given(nats.token),
    nkeyFile: given(nats.nkeyFile),
    credsFile: given(nats.credsFile),
    tls: files ? { caFile: given(caFile), certFile: given(certFile), keyFile: given(keyFile) } : tls,
    inboxPrefix: nats.inboxPrefix,
  };
}

/** What the configuration wants to be kept there. */
export function provisionOptionsOf(config: Config, access: NatsAccess): ProvisionOptions {
  const { prefix, partitions, replicas, maxBytes } = config.nats;
  return {
    access,
    settings: namespaceSettingsOf(config),
    prefix,
    partitions,
    replicas: replicas === "auto" ? undefined : replicas,
    maxBytes,
    dataBytes: config.limits.dataBytes,
    revocations: { count: config.auth.revocations, seconds: keepSeconds(config.auth) },
  };
}

function namespaceSettingsOf({ defaults, namespaces, nats }: Config): NamespaceSettings {
  const byName = Object.fromEntries(
    Object.entries(namespaces).map(([name, own]) => [name, resolveSettings(own, defaults)]),
  );
  return { defaults, byName, sets: nats.sets };
}

/** The stream that stores a room; "" where that is in memory, or nothing is stored of it. */
export function streamOf(config: Config): (room: RoomName) => string {
  if (config.broker === "memory") return () => "";
  const subjects = new Subjects(config.nats.prefix, config.nats.partitions);
  const plan = planStreams(namespaceSettingsOf(config), subjects);
  return (room) => {
    const { set } = placeOf(plan, room);
    return set === undefined ? "" : subjects.stream(set, subjects.partitionOf(encodeRoom(room)));
  };
}

function given(text: string): string | undefined {
  return text === "" ? undefined : text;
}
