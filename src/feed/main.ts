import { existsSync, readFileSync } from "node:fs";
import { hostname } from "node:os";
import { fileURLToPath } from "node:url";
import { Host } from "./host.js";
import { nodeMessages } from "./nodes.js";
import { type FeedOptions, HELP, parseCommand, QUOTES_PER_SECOND } from "./options.js";
import { everyTick, Pace } from "./pace.js";
import { type FeedMessage, Publisher } from "./publisher.js";
import { parseRates } from "./rates.js";
import { type Quote, Replay } from "./replay.js";

const MARKET_ROOM = "market.fx";
// A request costs more than what it carries.
const MARKET_TICK_MS = 50;
const HOST_TICK_MS = 100;
const PARENT_TICK_MS = 500;
/** A broker that lost its state gets it anew soon. */
const NODES_TICK_MS = 2_000;
/** What a stalled process may catch up with at once. */
const MARKET_BURST_SECONDS = 0.5;
// From dist/feed/ and from src/feed/ alike.
const RATES_FILE = fileURLToPath(new URL("../../src/feed/h10-rates.csv", import.meta.url));

const say = (line: string): void => {
  process.stderr.write(`feed: ${line}\n`);
};

const command = parseCommand(process.argv.slice(2), process.env);
switch (command.kind) {
  case "help":
    process.stdout.write(HELP);
    break;
  case "wrong":
    process.stderr.write(`${command.problems.join("\n")}\nTry --help.\n`);
    process.exitCode = 2;
    break;
  case "run":
    process.exitCode = await run(command.options);
}

async function run(options: FeedOptions): Promise<number> {
  const stop = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stop.abort());
  const publisher = new Publisher({ url: options.url, apiKey: options.apiKey, say });
  // Whoever started the feed may be killed without a chance to end it.
  const parent = process.ppid;
  const work = [
    everyTick(PARENT_TICK_MS, stop.signal, () => {
      if (process.ppid !== parent) stop.abort();
    }),
  ];
  const { nodes } = options;
  if (nodes.length > 0) {
    // With the first publish, not some seconds later.
    publisher.offer(nodeMessages(nodes));
    work.push(everyTick(NODES_TICK_MS, stop.signal, () => void publisher.offer(nodeMessages(nodes))));
  }
  if (options.market) work.push(market(options, publisher, stop.signal));
  if (options.host && existsSync("/proc/stat")) work.push(host(publisher, stop.signal));
  else if (options.host) say("no /proc on this system: no host telemetry");
  const ended = publisher.ended().finally(() => stop.abort());
  await Promise.all(work);
  await publisher.stop();
  const refused = await ended;
  if (refused === undefined) return 0;
  say(`the server refuses: ${refused}`);
  return 1;
}

function market(options: FeedOptions, publisher: Publisher, signal: AbortSignal): Promise<void> {
  const perSecond = QUOTES_PER_SECOND * options.speed;
  const replay = new Replay(parseRates(readFileSync(RATES_FILE, "utf8")), options.pairs);
  const pace = new Pace(perSecond, Math.ceil(perSecond * MARKET_BURST_SECONDS), performance.now());
  say(`${MARKET_ROOM}: ${perSecond} quotes a second of ${options.pairs.length} pairs to ${options.url}`);
  let waiting: FeedMessage[] = [];
  return everyTick(MARKET_TICK_MS, signal, (nowMs) => {
    // While the server is away the replay stands still, so that no day is left out.
    if (waiting.length > 0 && !publisher.offer(waiting)) return pace.restart(nowMs);
    waiting = Array.from({ length: pace.take(nowMs) }, () => quoteMessage(replay.next()));
    if (waiting.length > 0 && publisher.offer(waiting)) waiting = [];
  });
}

function quoteMessage({ symbol, rate, previous, date }: Quote): FeedMessage {
  return { room: MARKET_ROOM, key: symbol, data: { rate, previous, date } };
}

function host(publisher: Publisher, signal: AbortSignal): Promise<void> {
  const source = new Host(
    hostname()
      .replace(/[^\w.-]/g, "-")
      .slice(0, 64) || "host",
  );
  // Old telemetry is worth nothing: what is not accepted is gone.
  return everyTick(HOST_TICK_MS, signal, (nowMs) => void publisher.offer(source.sample(nowMs)));
}
