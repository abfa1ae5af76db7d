/**
 * The market board, the load that users have: thousands of symbols of which few are busy, tens of thousands of updates a
 * second in all, each client watching some hundred symbols, a tenth of the clients slow. fanwire in its delivery classes
 * beside ws and Socket.IO as their users write it. What counts is the server's CPU a client: what it uses with the clients
 * less what it uses without them, for the same updates; and staleness: how old an update is when it arrives.
 *
 * Checked on every client that reads: no update comes twice or goes back, and in the end each has the last update of
 * every symbol that it watches.
 */

import { type BoardEntry, boardTable } from "./peers/board-report.js";
import { boardTurn, contenderOf } from "./peers/board-turn.js";
import { cacheFolder } from "./peers/install.js";
import { SYMBOLS_MAX } from "./peers/market.js";
import { digits, PartialResult, progress, type Table } from "./support/report.js";
import { BadOption, defineScenario, type OptionValues, parseCounts } from "./support/scenario.js";

const OPTIONS = {
  boards: {
    default: "fanwire:10,fanwire:all,ws,socket.io",
    help: "who takes part: fanwire:RATE, fanwire:all, ws, socket.io",
  },
  clients: { default: "40,200", help: "clients, the slow ones included; several as 40,200" },
  symbols: { default: 5_000, help: "symbols, at most 9,999" },
  updates: { default: 20_000, help: "updates a second of all symbols together" },
  "watch-min": { default: 50, help: "symbols that a client watches, at least" },
  "watch-max": { default: 500, help: "and at most" },
  slow: { default: 0.1, help: "share of the clients that hardly read" },
  bytes: { default: 100, help: "bytes of an update" },
  seconds: { default: 4, help: "length of a window, one without and one with clients" },
  rounds: { default: 3, help: "turns of each" },
  seed: { default: 1, help: "of the market" },
  pin: { default: true, help: "servers on core 0, clients on core 1" },
  cache: { default: "", help: "where peers are installed; default: the user's cache folder" },
} as const;

type Options = OptionValues<typeof OPTIONS>;

export const board = defineScenario({
  name: "board",
  summary: "a market board: CPU a client and staleness, beside ws and Socket.IO",
  options: OPTIONS,
  run: measure,
});

async function measure(options: Options): Promise<Table[]> {
  if (options.symbols < 1 || options.symbols > SYMBOLS_MAX)
    throw new BadOption(`--symbols: 1 to ${SYMBOLS_MAX}`);
  if (options["watch-min"] > options["watch-max"] || options["watch-max"] > options.symbols)
    throw new BadOption("--watch-min is at most --watch-max, and that at most --symbols");
  const sizes = parseCounts("clients", options.clients);
  const contenders = options.boards.split(",").map(contenderOf);
  const cache = cacheFolder(options.cache);
  const tables: Table[] = [];
  const problems: string[] = [];
  for (const clients of sizes) {
    const entries: BoardEntry[] = [];
    const {
      "watch-min": watchMin,
      "watch-max": watchMax,
      boards: _,
      rounds: __,
      cache: ___,
      ...work
    } = options;
    const market = { ...work, clients, watchMin, watchMax };
    for (let round = 1; round <= options.rounds; round++) {
      for (const contender of contenders) {
        try {
          const seen = await boardTurn(contender, cache, market);
          progress(
            `${clients} clients, ${round}/${options.rounds} ${contender.name}: ${digits(seen.microsPerClient)} µs a client and second, p99 ${digits(seen.p99Micros / 1_000)} ms`,
          );
          entries.push({ contender, seen });
        } catch (cause) {
          const why = `${contender.name}: ${cause instanceof Error ? cause.message : String(cause)}`;
          progress(why);
          problems.push(why);
        }
      }
    }
    if (entries.length > 0) tables.push(boardTable(market, entries));
  }
  if (tables.length === 0) throw new Error(problems.join("; "));
  if (problems.length > 0) throw new PartialResult(tables, [...new Set(problems)].join("; "));
  return tables;
}
