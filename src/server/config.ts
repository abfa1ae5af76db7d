import type { RoomSettings, SettingsOf } from "../core/settings.js";
import { namespaceOf } from "../protocol/room-name.js";
import { buildConfig } from "./config-build.js";
import { masked } from "./config-mask.js";
import type { ConfigProblem } from "./config-problem.js";
import { resolveSettings } from "./config-rules.js";
import type { Config, ConfigInput } from "./config-schema.js";
import {
  demoSettings,
  type Environment,
  envLayer,
  fileLayer,
  flagLayer,
  type Setting,
  settingsIn,
} from "./config-sources.js";

export { ConfigError, type ConfigProblem, type Source } from "./config-problem.js";
export type { Config, ConfigInput } from "./config-schema.js";
export type { Environment } from "./config-sources.js";

export interface ConfigSources {
  /** Flags only, such as `["--port", "9002"]`. */
  readonly argv: readonly string[];
  readonly env: Environment;
  /** Where `fanwire.config.json` is looked for. */
  readonly cwd: string;
}

/**
 * The effective configuration: flags over environment (`FANWIRE_*`) over file (`--config`, `FANWIRE_CONFIG`, else
 * `fanwire.config.json` in `cwd` if it exists) over defaults, key by key. Deeply frozen.
 * @throws ConfigError with every problem of every source.
 */
export function loadConfig({ argv, env, cwd }: ConfigSources): Config {
  const flags = flagLayer(argv);
  const layers = [fileLayer(flags.file ?? fileOfEnv(env), cwd), envLayer(env), flags];
  return layered(
    layers.flatMap((layer) => layer.settings),
    layers.flatMap((layer) => layer.problems),
  );
}

/** A configuration from options in code: nothing is read from file or environment. @throws ConfigError */
export function createConfig(input: ConfigInput = {}): Config {
  return layered(settingsIn(input, [], { kind: "option" }), []);
}

/** The settings of each room; what a namespace leaves out comes from `defaults`. */
export function settingsOf(config: Config): SettingsOf {
  const defaults: RoomSettings = config.defaults;
  const named = new Map(
    Object.entries(config.namespaces).map(([name, own]) => [name, resolveSettings(own, defaults)]),
  );
  return (room) => named.get(namespaceOf(room)) ?? defaults;
}

/** The configuration as it may be shown: every secret replaced by `***`. */
export function maskSecrets(config: Config): unknown {
  return masked(config, []);
}

function layered(settings: readonly Setting[], problems: readonly ConfigProblem[]): Config {
  return buildConfig([...demoSettings(settings), ...settings], problems);
}

function fileOfEnv(env: Environment): Setting | undefined {
  const value = env.FANWIRE_CONFIG;
  if (value === undefined || value === "") return undefined;
  return { path: [], value, source: { kind: "env", name: "FANWIRE_CONFIG" } };
}
