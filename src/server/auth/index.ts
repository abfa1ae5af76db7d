import { readFileSync } from "node:fs";
import { OPEN_ACCESS } from "../../core/access.js";
import type { SettingsOf } from "../../core/settings.js";
import { type Config, settingsOf } from "../config.js";
import type { GatewayCounters } from "../gateway-limits.js";
import type { Logger } from "../log.js";
import { thrownByOthers } from "../log-errors.js";
import { ApiKeys } from "./api-keys.js";
import { Authority } from "./authority.js";
import { Door } from "./door.js";
import { bitsOf } from "./grant.js";
import { Hooks, loadHooks } from "./hooks.js";
import { Jwks } from "./jwks.js";
import { Revocations } from "./revocations.js";
import { fixedKeys, type KeySource } from "./token-check.js";
import { usesTokens } from "./uses-tokens.js";
import { keysOfText, secretKey } from "./verify-key.js";

/** Everything that decides who may do what in one process. */
export interface Auth {
  /** Undefined: no token is asked for. */
  readonly authority: Authority | undefined;
  readonly apiKeys: ApiKeys;
  readonly hooks: Hooks | undefined;
  readonly revocations: Revocations;
  /** Undefined: everybody may connect, and nobody is asked. */
  readonly door: Door | undefined;
}

/** @throws Error where the key file or the module of hooks cannot be read or is not what it must be. */
export async function createAuth(
  config: Config,
  counters: GatewayCounters,
  log: Logger,
  now: () => number = () => Date.now() / 1_000,
): Promise<Auth> {
  const revocations = new Revocations(config.auth.revocations);
  const hooks = await hooksOf(config, counters, log);
  const authority = usesTokens(config)
    ? new Authority({
        config: config.auth,
        keys: await keysOf(config, counters, log),
        revocations,
        ...anonymousOf(config),
        keepClaims: hooks !== undefined,
        now,
      })
    : undefined;
  const isOpen = authority === undefined && hooks?.connect === undefined;
  const door = isOpen
    ? undefined
    : new Door({
        authority,
        open: OPEN_ACCESS,
        onConnect: hooks?.connect,
        counters,
      });
  return { authority, apiKeys: new ApiKeys(config.apiKeys), hooks, revocations, door };
}

async function keysOf({ auth }: Config, counters: GatewayCounters, log: Logger): Promise<KeySource> {
  if (auth.secret !== "") return fixedKeys([secretKey(auth.secret)]);
  if (auth.keyFile !== "") {
    try {
      return fixedKeys(keysOfText(readFileSync(auth.keyFile, "utf8")));
    } catch (cause) {
      throw new Error(`auth.keyFile ${auth.keyFile}: ${cause instanceof Error ? cause.message : cause}`);
    }
  }
  const jwks = new Jwks({
    url: auth.jwksUrl,
    timeoutMs: auth.timeoutMs,
    refreshMs: auth.jwksRefreshSeconds * 1_000,
    cooldownMs: auth.jwksCooldownSeconds * 1_000,
    keepMs: auth.maxTokenSeconds * 1_000,
    now: () => performance.now(),
    onFailure: (reason) => {
      counters.jwksFailures += 1;
      log.warn({ url: auth.jwksUrl, reason }, "the keys of tokens could not be fetched");
    },
  });
  // Whoever issues tokens may be away: then this server starts all the same, and tells those who come to try again.
  await jwks.refresh();
  return jwks;
}

async function hooksOf(
  { hooks, limits }: Config,
  counters: GatewayCounters,
  log: Logger,
): Promise<Hooks | undefined> {
  if (hooks.module === "") return undefined;
  return new Hooks(await loadHooks(hooks.module), {
    timeoutMs: hooks.timeoutMs,
    limits,
    counters,
    onFailure: (hook, cause) => log.warn({ hook, thrown: thrownByOthers(cause) }, "a hook failed"),
  });
}

function anonymousOf(config: Config): {
  anonymousBits: (room: Parameters<SettingsOf>[0]) => number;
  allowsAnonymous: boolean;
} {
  const of = settingsOf(config);
  const all = [config.defaults, ...Object.values(config.namespaces)].map(({ anonymous }) => anonymous ?? "");
  return {
    anonymousBits: (room) => bitsOf(of(room).anonymous),
    allowsAnonymous: all.some((letters) => letters !== ""),
  };
}
