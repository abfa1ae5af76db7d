import type { Config } from "./config.js";

type Namespaces = Config["namespaces"];

const DEMO: Namespaces = {
  // The latest of every key, so that a page that opens shows everything at once; at 500 messages a second, a break of
  // half a minute is made whole.
  market: { state: true, ephemeral: false, publish: "api", history: { messages: 20_000, seconds: 300 } },
  host: { state: true, ephemeral: false, publish: "api", history: { messages: 3_000, seconds: 300 } },
  // The visitors' own, straight from page to page; nothing is kept.
  cursors: { state: false, ephemeral: true, publish: "client" },
};

/** The configuration with the namespaces of the demo page; what it says itself about one of them stays. */
export function withDemoNamespaces(config: Config): Config {
  const namespaces: Record<string, Namespaces[string]> = { ...config.namespaces };
  for (const [name, demo] of Object.entries(DEMO)) {
    const own = config.namespaces[name] ?? {};
    const both = { ...demo, ...own };
    // The one excludes the other; where the configuration chose the other, nothing of ours fits.
    namespaces[name] = both.state === true && both.ephemeral === true ? own : both;
  }
  return { ...config, namespaces };
}
