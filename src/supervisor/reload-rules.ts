import { isDeepStrictEqual } from "node:util";
import { keepSeconds } from "../server/auth/revocations.js";
import { usesTokens } from "../server/auth/uses-tokens.js";
import type { Config } from "../server/config.js";
import { usesPresence } from "../server/uses-presence.js";

/**
 * What a running node cannot change: where it listens, who supervises, and what the hubs keep, since they keep it over
 * a reload. Everything else belongs to workers.
 */
const FIXED = ["host", "port", "admin", "workers", "hubs", "watchdogMs", "broker", "nats", "memory"] as const;

/** Why a node that runs with one configuration cannot go on with another; undefined where it can. */
export function whyNotReloadable(now: Config, next: Config): string | undefined {
  const changed: string[] = FIXED.filter((key) => !isDeepStrictEqual(now[key], next[key]));
  if (now.auth.revocationsFile !== next.auth.revocationsFile) changed.push("auth.revocationsFile");
  if (now.broker !== "memory" && !isDeepStrictEqual(sharedOf(now), sharedOf(next)))
    changed.push("with NATS whether tokens are used, and for how long at most (auth)");
  // Nodes that share rooms take out the keys of one that is gone, so their hubs go by it, too.
  if (now.broker !== "memory" && !isDeepStrictEqual(keysOf(now), keysOf(next)))
    changed.push("with NATS key of a namespace or of defaults");
  if (now.limits.presenceMembers !== next.limits.presenceMembers) changed.push("limits.presenceMembers");
  if (now.broker !== "memory" && usesPresence(now) !== usesPresence(next))
    changed.push("with NATS whether any namespace has presence");
  if (!isDeepStrictEqual(kept(now), kept(next)))
    changed.push("history, state, stateSeconds or ephemeral of a namespace or of defaults");
  if (changed.length === 0) return undefined;
  return `a restart is needed to change ${changed.join(", ")}`;
}

/** What of tokens the hub acts on, which shares revocations with other nodes. */
function sharedOf(config: Config): unknown {
  return [usesTokens(config), keepSeconds(config.auth)];
}

/** Whose keys are, where it is said. */
function keysOf({ defaults, namespaces }: Config): unknown {
  const named = Object.entries(namespaces).filter(([, { key }]) => key !== undefined);
  return [defaults.key, Object.fromEntries(named.map(([name, { key }]) => [name, key]))];
}

/** What of the rooms' settings the broker acts on. */
function kept({ defaults, namespaces }: Config): unknown {
  return {
    defaults: keptOf(defaults),
    namespaces: Object.fromEntries(
      Object.entries(namespaces)
        .map(([name, own]) => [name, keptOf(own)] as const)
        .filter(([, settings]) => Object.keys(settings).length > 0),
    ),
  };
}

/**
 * All but what workers alone act on: who may publish, whose a key is (publishes say it to the hub, `Outgoing.hold`), who is
 * told who is there, and at which pace a room is delivered. Clients of a worker that is replaced subscribe anew, and so in the classes that there are.
 */
function keptOf({
  publish: _publish,
  anonymous: _anonymous,
  key: _key,
  rates: _rates,
  rate: _rate,
  slow: _slow,
  presence: _presence,
  ...settings
}: Config["namespaces"][string]): object {
  return settings;
}
