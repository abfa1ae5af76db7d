import { digits, percent, type Table } from "../support/report.js";
import { type Summary, summarize } from "../support/statistics.js";
import { busyClient } from "../support/validity.js";
import type { BoardSeen, BoardWork, Contender } from "./board-turn.js";

/** A turn that was measured. */
export interface BoardEntry {
  readonly contender: Contender;
  readonly seen: BoardSeen;
}

/** What a contender's turns came to. */
export interface BoardStanding {
  readonly name: string;
  readonly label: string;
  readonly microsPerClient: Summary;
  readonly all: readonly BoardSeen[];
}

/** In the order in which contenders came first. */
export function boardStandings(entries: readonly BoardEntry[]): BoardStanding[] {
  const contenders = new Map(entries.map(({ contender }) => [contender.name, contender]));
  return [...contenders.values()].map(({ name, peer }) => {
    const all = entries.filter((entry) => entry.contender.name === name).map(({ seen }) => seen);
    return {
      name,
      label: name === peer.name ? peer.label : `${peer.label}, rate ${name.split(":")[1]}`,
      microsPerClient: summarize(all.map(({ microsPerClient }) => microsPerClient)),
      all,
    };
  });
}

export function boardTable(work: BoardWork, entries: readonly BoardEntry[]): Table {
  const standings = boardStandings(entries);
  const [first] = standings;
  const rounds = Math.max(...standings.map(({ all }) => all.length));
  return {
    title: `Market board: ${digits(work.symbols)} symbols, ${digits(work.updates)} updates/s, ${work.clients} clients watching ${work.watchMin} to ${work.watchMax}, ${percent(work.slow)} slow`,
    columns: [
      "server",
      "CPU µs a client and second",
      "±",
      `× ${first?.name ?? ""}`,
      "of a core, no clients",
      "with clients",
      "updates/s a client",
      "reads/s a client",
      "staleness p50 ms",
      "p99 ms",
      "client busy",
    ],
    rows: standings.map(({ label, microsPerClient, all }) => {
      const middle = (pick: (seen: BoardSeen) => number): number => summarize(all.map(pick)).median;
      return [
        label,
        digits(microsPerClient.median),
        percent(microsPerClient.spread),
        digits(microsPerClient.median / (first?.microsPerClient.median ?? Number.NaN)),
        percent(middle(({ baseMicros }) => baseMicros / 1e6)),
        percent(middle(({ loadedMicros }) => loadedMicros / 1e6)),
        digits(middle(({ deliveriesPerClient }) => deliveriesPerClient)),
        digits(middle(({ readsPerClient }) => readsPerClient)),
        digits(middle(({ p50Micros }) => p50Micros) / 1_000),
        digits(middle(({ p99Micros }) => p99Micros) / 1_000),
        percent(middle(({ clientBusy }) => clientBusy)),
      ];
    }),
    notes: [
      `Medians of ${rounds} turns; each symbol has ${digits((work.clients * (work.watchMin + work.watchMax)) / 2 / work.symbols)} watchers. CPU a client: what the server uses with the clients less what it uses without them, over their number; of all its processes. Above 100 % of a core it gets behind, and what it needs to catch up counts.`,
      "No update came twice or went back; in the end every client that reads had the last update of every symbol that it watches. With a rate, older updates of a symbol give way to newer ones.",
    ],
    invalid: standings.flatMap(({ name, all }) =>
      busyClient(summarize(all.map(({ clientBusy }) => clientBusy)).median).map((what) => `${name}: ${what}`),
    ),
    raw: entries.map(({ contender, seen }) => ({ name: contender.name, ...seen })),
  };
}
