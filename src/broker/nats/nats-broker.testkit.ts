import { DEFAULT_ROOM_SETTINGS } from "../../core/settings.js";
import { parseRoom } from "../../protocol/room-name.js";
import { type BrokerFixture, conformanceSettings } from "../conformance.testkit.js";
import { type NatsAccess, parseServers } from "./connection.js";
import { DEFAULT_NATS_LIMITS } from "./limits.js";
import { accessAs } from "./nats-accounts.testkit.js";
import { NatsAdmin } from "./nats-admin.testkit.js";
import type { NatsBroker } from "./nats-broker.js";
import { type ProvisionOptions, prepareProvisioning } from "./provision.js";
import { type NatsBrokerOptions, startNatsBroker } from "./start.js";
import type { NamespaceSettings } from "./stream-plan.js";
import { encodeRoom, Subjects, setName } from "./subjects.js";

/** The settings of the conformance suite, as the plan wants them. */
export const CONFORMANCE_NAMESPACES: NamespaceSettings = {
  defaults: DEFAULT_ROOM_SETTINGS,
  byName: Object.fromEntries(
    ["log", "keyed", "bare", "eph"].map((name) => [name, conformanceSettings(parseRoom(`${name}.x`))]),
  ),
};

let prefixes = 0;

/** A prefix that nothing in this process has used: streams of its own, without a server of its own. */
export function freshPrefix(): string {
  prefixes += 1;
  return `t${prefixes.toString(36)}x${process.pid.toString(36)}`;
}

/**
 * A broker on streams of its own, with the conformance suite's settings. It runs with the rights of the documented user
 * `engine`; where nothing is provisioned yet, `provisioner` does that first, unless `provision` is false.
 */
export async function startTestBroker(
  urls: string | readonly string[],
  options: Partial<NatsBrokerOptions> = {},
): Promise<NatsBroker> {
  const whole = {
    access: accessAs("engine", urls),
    settings: CONFORMANCE_NAMESPACES,
    prefix: freshPrefix(),
    partitions: 2,
    startMs: 60_000,
    // The suites have sinks that throw on purpose.
    onSinkError: () => undefined,
    ...options,
  };
  if (options.provision ?? true) await provisionNew(accessAs("provisioner", urls), whole);
  return startNatsBroker(whole);
}

async function provisionNew(
  access: NatsAccess,
  {
    settings,
    prefix,
    partitions,
    replicas,
    maxBytes,
    limits,
  }: Omit<ProvisionOptions, "maxBytes" | "dataBytes"> & Pick<NatsBrokerOptions, "maxBytes" | "limits">,
): Promise<void> {
  const dataBytes = limits?.dataBytes ?? DEFAULT_NATS_LIMITS.dataBytes;
  const provisioning = await prepareProvisioning({
    ...{ access, settings, prefix, partitions, replicas, dataBytes },
    maxBytes: maxBytes ?? -1,
  });
  try {
    if (provisioning.change.control?.kind === "create") await provisioning.apply(false);
  } finally {
    await provisioning.close();
  }
}

/** Deletes the streams of a prefix. */
export async function deleteStreams(admin: NatsAdmin, prefix: string): Promise<void> {
  const { streams } = await admin.insist<{ streams: string[] | null }>("STREAM.NAMES");
  const begin = `${prefix.toUpperCase()}_`;
  for (const name of streams ?? []) if (name.startsWith(begin)) await admin.deleteStream(name);
}

const KEYS = 20;

/** A fixture of the conformance suite on servers that run. */
export async function natsFixture(
  urls: string | readonly string[],
  partitions: number,
): Promise<BrokerFixture> {
  const prefix = freshPrefix();
  const options: Partial<NatsBrokerOptions> = { prefix, partitions, limits: { keysPerRoom: KEYS } };
  const broker = await startTestBroker(urls, options);
  const admin = await NatsAdmin.connect(urls);
  const subjects = new Subjects(prefix, partitions);
  return {
    broker,
    keysPerRoom: KEYS,
    deadlineMs: 15_000,
    renew: async (room) => {
      const name = subjects.stream(
        setName("", room.startsWith("keyed")),
        subjects.partitionOf(encodeRoom(room)),
      );
      await admin.insist(`STREAM.DELETE.${name}`);
      const provisioning = await prepareProvisioning({
        access: parseServers(typeof urls === "string" ? urls : urls.join(",")),
        settings: CONFORMANCE_NAMESPACES,
        prefix,
        partitions,
        maxBytes: -1,
        dataBytes: 15_360,
      });
      await provisioning.apply(false);
      await provisioning.close();
    },
    dispose: async () => {
      await broker.stop(0);
      await deleteStreams(admin, prefix);
      await admin.close();
    },
  };
}
