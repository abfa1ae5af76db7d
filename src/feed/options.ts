import { parseArgs } from "node:util";
import { type DemoNode, NODES_ROOM, parseNodes } from "./nodes.js";
import { CURRENCIES, PAIRS, type Pair } from "./pairs.js";

export const QUOTES_PER_SECOND = 500;
const SPEED_MAX = 100;
const DEFAULT_URL = "http://127.0.0.1:9001";

export interface FeedOptions {
  readonly url: string;
  readonly apiKey: string | undefined;
  readonly speed: number;
  readonly pairs: readonly Pair[];
  readonly host: boolean;
  readonly market: boolean;
  /** None: the page names the one that it is on, and no other. */
  readonly nodes: readonly DemoNode[];
}

export type Command =
  | { readonly kind: "run"; readonly options: FeedOptions }
  | { readonly kind: "help" }
  | { readonly kind: "wrong"; readonly problems: readonly string[] };

export const HELP = `Publishes real data to a fanwire server, over its public HTTP API.

  node dist/feed/main.js [options]

  market.fx      the Federal Reserve's H.10 noon rates of 1999 to 2024, replayed: every pair of ${CURRENCIES.length}
                 currencies, ${PAIRS.length} keys.
                 Every update is the published rate of one day; crosses are computed from two dollar rates.
  host.cpu  host.memory  host.network  host.disk  host.pressure
                 this host's /proc ten times a second, rates over the last second, keyed by the host's name
  ${NODES_ROOM}     the nodes that --nodes names, for the page

Options:
  --url URL        the server [FANWIRE_URL, default ${DEFAULT_URL}]
  --api-key KEY    [FANWIRE_API_KEY]
  --speed N        times ${QUOTES_PER_SECOND} quotes a second, above 0 and up to ${SPEED_MAX} (default 1)
  --symbols LIST   only these pairs, for instance EURUSD,USDJPY (default all)
  --only WHAT      market or host (default both)
  --nodes LIST     nodes that share these rooms, for instance node-a=9001,node-b=9101: name and port, first the one of --url
  --help           this text

It waits for a server that is not there yet, and goes on by itself after a restart. It ends on SIGTERM, SIGINT and when the
process that started it is gone. Exit codes: 0 ended as asked, 1 the server refuses the data, 2 wrong options.
`;

/** Reads arguments and environment; every problem is reported, not only the first. */
export function parseCommand(args: readonly string[], env: NodeJS.ProcessEnv): Command {
  const parsed = readArgs(args);
  if (typeof parsed === "string") return { kind: "wrong", problems: [parsed] };
  if (parsed.help === true) return { kind: "help" };
  const problems: string[] = [];
  const url = parsed.url ?? env.FANWIRE_URL ?? DEFAULT_URL;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    problems.push(`--url ${url}: must be an http or https address`);
  }
  const speed = Number(parsed.speed ?? 1);
  if (!(speed > 0 && speed <= SPEED_MAX)) {
    problems.push(`--speed ${parsed.speed}: must be a number above 0 and up to ${SPEED_MAX}`);
  }
  const only = parsed.only;
  if (only !== undefined && only !== "market" && only !== "host") {
    problems.push(`--only ${only}: must be market or host`);
  }
  const nodes = parsed.nodes === undefined ? [] : parseNodes(parsed.nodes);
  if (nodes === undefined)
    problems.push(`--nodes ${parsed.nodes}: must be a list such as node-a=9001,node-b=9101`);
  const pairs = choosePairs(parsed.symbols, problems);
  if (problems.length > 0) return { kind: "wrong", problems };
  const apiKey = parsed["api-key"] ?? env.FANWIRE_API_KEY;
  const options: FeedOptions = {
    url,
    apiKey: apiKey === "" ? undefined : apiKey,
    speed,
    pairs,
    host: only !== "market",
    market: only !== "host",
    nodes: nodes ?? [],
  };
  return { kind: "run", options };
}

function choosePairs(list: string | undefined, problems: string[]): readonly Pair[] {
  if (list === undefined) return PAIRS;
  const wanted = list
    .split(",")
    .map((symbol) => symbol.trim().toUpperCase())
    .filter((symbol) => symbol !== "");
  const unknown = wanted.filter((symbol) => !PAIRS.some((pair) => pair.symbol === symbol));
  if (unknown.length > 0) {
    const known = `two of ${CURRENCIES.join(" ")} in this order, such as EURUSD`;
    problems.push(`--symbols: no pair ${unknown.join(", ")}; a pair is ${known}`);
  } else if (wanted.length === 0) problems.push("--symbols: names no pair");
  return PAIRS.filter((pair) => wanted.includes(pair.symbol));
}

function readArgs(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        url: { type: "string" },
        "api-key": { type: "string" },
        speed: { type: "string" },
        symbols: { type: "string" },
        only: { type: "string" },
        nodes: { type: "string" },
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (cause) {
    return cause instanceof Error ? cause.message : String(cause);
  }
}
