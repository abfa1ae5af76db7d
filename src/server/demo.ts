import type { Config } from "./config.js";

/**
 * The configuration with what the demo page needs. A namespace that the configuration names stays as it is.
 *
 * - `market`, `host`: published over HTTP by the feed, the latest of every key kept, so that a page that opens shows
 *   everything at once.
 * - `cursors`: the visitors' own, straight from page to page, nothing kept.
 */
export function withDemoNamespaces(config: Config): Config {
  const feed = { state: true, ephemeral: false, publish: "api" } as const;
  const demo: Config["namespaces"] = {
    market: feed,
    host: feed,
    cursors: { state: false, ephemeral: true, publish: "client" },
  };
  return { ...config, namespaces: { ...demo, ...config.namespaces } };
}
