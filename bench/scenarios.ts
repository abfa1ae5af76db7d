import type { Scenario } from "./support/scenario.js";

/** Each is loaded when it is needed: some want packages that only this project's development has. */
const LOADERS: Readonly<Record<string, () => Promise<Scenario>>> = {
  fanout: async () => (await import("./fanout.js")).fanout,
  burst: async () => (await import("./fanout.js")).burst,
  conflation: async () => (await import("./conflation.js")).conflation,
  cursors: async () => (await import("./cursors.js")).cursors,
  coalesce: async () => (await import("./coalesce.js")).coalesce,
  slow: async () => (await import("./slow.js")).slow,
  compare: async () => (await import("./compare.js")).compare,
  board: async () => (await import("./board.js")).board,
  chat: async () => (await import("./chat.js")).chat,
  http: async () => (await import("./http.js")).http,
  replay: async () => (await import("./replay.js")).replay,
  soak: async () => (await import("./soak.js")).soak,
  connections: async () => (await import("./connections.js")).connections,
  storm: async () => (await import("./storm.js")).storm,
  bigroom: async () => (await import("./bigroom.js")).bigroom,
  idle: async () => (await import("./idle.js")).idle,
  hub: async () => (await import("./hub.js")).hub,
  bridge: async () => (await import("./bridge.js")).bridge,
  presence: async () => (await import("./presence.js")).presence,
  smoke: async () => (await import("./smoke.js")).smoke,
  deltas: async () => (await import("./deltas.js")).deltas,
  codec: async () => (await import("./codec.js")).codec,
  patterns: async () => (await import("./patterns.js")).patterns,
};

export const SCENARIO_NAMES: readonly string[] = Object.keys(LOADERS);

/** @throws Error where it wants a package that is not installed. */
export async function loadScenario(name: string): Promise<Scenario> {
  const load = LOADERS[name];
  if (load === undefined) throw new Error(`no scenario ${JSON.stringify(name)}`);
  try {
    return await load();
  } catch (cause) {
    const missing = missingPackage(cause);
    if (missing === undefined) throw cause;
    throw new Error(`${name} needs the package ${missing}: npm install ${missing}`, { cause });
  }
}

function missingPackage(cause: unknown): string | undefined {
  if ((cause as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") return undefined;
  return /Cannot find package '([^']+)'/.exec((cause as Error).message)?.[1];
}
