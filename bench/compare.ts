/**
 * Peers side by side: broadcast servers of other projects, fanwire and the physical limit, on the same work, with the
 * same clients. In each round every server has its turn: it is started, its subscribers connect, single messages go
 * out at an even rate, then bursts, each when everybody has the one before. What counts is the server's CPU a delivery
 * (all of its processes, /proc, system calls included), and its ratio to the limit of the same round: times drift with
 * the machine. Every message is checked by its number on every connection.
 *
 * Peers are installed on demand into a cache folder (npm, Debian, a C compiler), never with the project. Finished turns
 * are kept in a file: a run that was ended goes on where it was.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { nearest } from "../server/nearest.js";
import { type BoardEntry, boardTable } from "./peers/board-report.js";
import {
  type BoardSeen,
  type BoardWork,
  boardTurn,
  type Contender,
  contenderOf,
} from "./peers/board-turn.js";
import { bout } from "./peers/bout.js";
import { PEERS, type Peer } from "./peers/catalog.js";
import { cacheFolder, install } from "./peers/install.js";
import { type BoardSeenAll, comparePage } from "./peers/plot.js";
import { ResultsFile } from "./peers/results-file.js";
import { type Entry, type Outcome, standings, tablesOf } from "./peers/standings.js";
import { checkDescriptors } from "./support/descriptors.js";
import { ownVersion, revision } from "./support/environment.js";
import { digits, progress, type Table } from "./support/report.js";
import { BadOption, defineScenario, type OptionValues, parseCounts } from "./support/scenario.js";

const OPTIONS = {
  peers: { default: "all", help: `who takes part: all, or of ${PEERS.map(({ name }) => name).join(",")}` },
  subscribers: { default: "2000,10000", help: "subscribers of each server, several after each other" },
  bursts: { default: "1,32,33,128", help: "messages at once; 1: single ones at an even rate" },
  rounds: { default: 3, help: "turns of each server" },
  boards: {
    default: "fanwire:10,fanwire:all,ws,socket.io",
    help: 'who takes part in a market board, see board; "": no board',
  },
  "board-clients": { default: "200", help: "clients of a board; several as 40,200" },
  "board-updates": { default: 20_000, help: "updates a second of a board" },
  seconds: { default: 1, help: "length of a window, one for each kind of work; four of them for a board" },
  "deliveries-per-second": { default: 20_000, help: "while single messages are published" },
  bytes: { default: 100, help: "bytes of a message" },
  pin: { default: true, help: "servers on core 0, subscribers on core 1" },
  cache: { default: "", help: "where peers are installed; default: the user's cache folder" },
  results: { default: "", help: "JSON file of finished turns; default: compare.json in the cache" },
  fresh: { default: false, help: "measure turns anew that are in that file" },
  "max-minutes": { default: 60, help: "begin no turn after this time" },
  plot: { default: "", help: "write a page with plots there (HTML)" },
} as const;

type Options = OptionValues<typeof OPTIONS>;

/** As `board` has it by default. */
const BOARD = { symbols: 5_000, watchMin: 50, watchMax: 500, slow: 0.1, seed: 1 } as const;
const BOARD_SECONDS = 4;

export const compare = defineScenario({
  name: "compare",
  summary: "fanwire beside ws, Socket.IO, Bun, nats-server and others, and beside raw C",
  options: OPTIONS,
  run: measure,
});

async function measure(options: Options): Promise<Table[]> {
  const peers = choosePeers(options.peers);
  const numbers = (name: "subscribers" | "bursts"): number[] => parseCounts(name, options[name]);
  const bursts = numbers("bursts");
  const contenders = options.boards === "" ? [] : options.boards.split(",").map(contenderOf);
  const sizes = numbers("subscribers");
  for (const size of sizes) checkDescriptors(size);
  const cache = cacheFolder(options.cache);
  mkdirSync(cache, { recursive: true });
  const results = options.results === "" ? join(cache, "compare.json") : options.results;
  const file = new ResultsFile<Outcome>(results);
  const folders = await installAll(peers, cache);
  const endMs = performance.now() + options["max-minutes"] * 60_000;
  const chosen: Entry[] = [];
  for (const subscribers of sizes) {
    for (let round = 1; round <= options.rounds; round++) {
      for (const peer of peers) {
        const folder = folders.get(peer.name);
        if (folder === undefined) continue;
        const { seconds, bytes, pin } = options;
        const work = {
          subscribers,
          bursts,
          seconds,
          bytes,
          pin,
          deliveriesPerSecond: options["deliveries-per-second"],
        };
        const key = `${buildOf(peer.name)} ${round} ${JSON.stringify(work)}`;
        const known = options.fresh ? undefined : file.get(key);
        if (known === undefined && performance.now() > endMs) continue;
        const outcome = known ?? (await turn(peer, folder.path, folder.problem, work));
        if (folder.problem === undefined) file.set(key, outcome);
        progress(
          `${subscribers} ${round}/${options.rounds} ${peer.name}: ${told(outcome)}${known ? " (kept)" : ""}`,
        );
        chosen.push({ peer, subscribers, round, outcome });
      }
    }
  }
  const all = sizes.map((subscribers) => standings(subscribers, bursts, peers, chosen, options.rounds));
  const boards = await compareBoards(contenders, cache, options, endMs, results);
  const tables = [
    ...all.map((standing) => tablesOf(standing, options)),
    ...boards.map(({ work, entries, incomplete }) => ({ ...boardTable(work, entries), incomplete })),
  ];
  if (options.plot !== "") writeFileSync(options.plot, comparePage(all, boards));
  return tables;
}

/** What a turn is kept under: of fanwire, only for the revision that was measured. */
function buildOf(name: string): string {
  return name.split(":")[0] === "fanwire" ? `${name} ${ownVersion()} ${revision()}` : name;
}

interface BoardsSeen extends BoardSeenAll {
  readonly incomplete: string | undefined;
}

type BoardOutcome =
  | { readonly kind: "seen"; readonly seen: BoardSeen }
  | { readonly kind: "failed"; readonly why: string };

/** The market board as `board` has it, in turns that are kept as the others are. */
async function compareBoards(
  contenders: readonly Contender[],
  cache: string,
  options: Options,
  endMs: number,
  results: string,
): Promise<BoardsSeen[]> {
  if (contenders.length === 0) return [];
  const file = new ResultsFile<BoardOutcome>(`${results.replace(/\.json$/, "")}-board.json`);
  const all: BoardsSeen[] = [];
  for (const clients of parseCounts("board-clients", options["board-clients"])) {
    const work: BoardWork = {
      ...BOARD,
      ...{ clients, updates: options["board-updates"], bytes: options.bytes, pin: options.pin },
      seconds: options.seconds * BOARD_SECONDS,
    };
    const entries: BoardEntry[] = [];
    const missing: string[] = [];
    for (let round = 1; round <= options.rounds; round++) {
      for (const contender of contenders) {
        const key = `${buildOf(contender.name)} ${round} ${JSON.stringify(work)}`;
        const known = options.fresh ? undefined : file.get(key);
        if (known === undefined && performance.now() > endMs) {
          missing.push(`${contender.name}: not begun in time`);
          continue;
        }
        const outcome = known ?? (await boardOutcome(contender, cache, work));
        file.set(key, outcome);
        progress(
          `board, ${clients} clients ${round}/${options.rounds} ${contender.name}: ${boardTold(outcome)}`,
        );
        if (outcome.kind === "seen") entries.push({ contender, seen: outcome.seen });
        else missing.push(`${contender.name}: ${outcome.why}`);
      }
    }
    const incomplete = missing.length === 0 ? undefined : [...new Set(missing)].join("; ");
    if (entries.length > 0) all.push({ work, entries, incomplete });
  }
  return all;
}

async function boardOutcome(contender: Contender, cache: string, work: BoardWork): Promise<BoardOutcome> {
  try {
    return { kind: "seen", seen: await boardTurn(contender, cache, work) };
  } catch (cause) {
    return { kind: "failed", why: messageOf(cause).slice(0, 400) };
  }
}

function boardTold(outcome: BoardOutcome): string {
  if (outcome.kind === "failed") return `FAILED: ${outcome.why}`;
  return `${digits(outcome.seen.microsPerClient)} µs a client and second`;
}

/** @throws BadOption for a name that is no peer. */
function choosePeers(list: string): readonly Peer[] {
  if (list === "all") return PEERS;
  return list.split(",").map((name) => {
    const peer = PEERS.find((candidate) => candidate.name === name);
    if (peer !== undefined) return peer;
    const names = PEERS.map((known) => known.name);
    const near = nearest(name, names);
    const meant = near === undefined ? "" : `; did you mean ${near}?`;
    throw new BadOption(`--peers ${list}: "${name}" is not one of ${names.join(", ")}${meant}`);
  });
}

interface Installed {
  readonly path: string;
  /** Why it could not be installed. */
  readonly problem?: string;
}

async function installAll(peers: readonly Peer[], cache: string): Promise<ReadonlyMap<string, Installed>> {
  const folders = new Map<string, Installed>();
  const byNeed = new Map<string, Installed>();
  for (const { name, need } of peers) {
    const key = JSON.stringify(need);
    let installed = byNeed.get(key);
    if (installed === undefined) {
      try {
        installed = { path: await install(name, need, cache) };
      } catch (cause) {
        installed = { path: "", problem: messageOf(cause) };
        progress(`${name}: ${messageOf(cause)}`);
      }
      byNeed.set(key, installed);
    }
    folders.set(name, installed);
  }
  return folders;
}

async function turn(
  peer: Peer,
  folder: string,
  problem: string | undefined,
  work: Parameters<typeof bout>[2],
): Promise<Outcome> {
  if (problem !== undefined) return { kind: "failed", why: problem };
  try {
    return { kind: "seen", seen: await bout(peer, folder, work) };
  } catch (cause) {
    return { kind: "failed", why: messageOf(cause).slice(0, 400) };
  }
}

function told(outcome: Outcome): string {
  if (outcome.kind === "failed") return `FAILED: ${outcome.why}`;
  const costs = outcome.seen.works.map(({ burst, cpuMicros }) => `${burst}: ${digits(cpuMicros)}`);
  return `CPU µs a delivery ${costs.join(", ")}`;
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
