import { escapeHtml, page } from "../plot/page.js";
import { digits } from "../support/report.js";
import { type BoardEntry, boardStandings } from "./board-report.js";
import type { BoardWork } from "./board-turn.js";
import type { Standing, Standings } from "./standings.js";

const ROW = 26;
const LABEL = 320;
const BARS = 520;
const VALUE = 150;
const TOP = 34;

/** A market board's turns, for the page. */
export interface BoardSeenAll {
  readonly work: BoardWork;
  readonly entries: readonly BoardEntry[];
}

/** A page of its own, without scripts and without anything from elsewhere: for each kind of work the servers by what they cost. */
export function comparePage(all: readonly Standings[], boards: readonly BoardSeenAll[] = []): string {
  const charts = all.flatMap((standings) => standings.bursts.map((burst) => chart(standings, burst)));
  const title = "Broadcast servers compared";
  const body = `<h1>What one delivery costs the server</h1>
<p class="soft">CPU of all of a server's processes, system calls included, in microseconds a delivery; the axis is logarithmic, less is better.
× is the ratio to the limit, a C program that writes a ready frame to every socket, measured in the same round. Medians.</p>
${charts.join("\n")}
${boards.map(boardChart).join("\n")}`;
  return page({ title, body });
}

function boardChart({ work, entries }: BoardSeenAll): string {
  const standings = boardStandings(entries);
  const first = standings[0]?.microsPerClient.median;
  const rows = standings.map(({ name, label, microsPerClient }): Row => {
    const times = first === undefined ? "" : ` · ×${digits(microsPerClient.median / first)}`;
    const colour = name.startsWith("fanwire") ? "--own" : "--bar";
    return { label, micros: microsPerClient.median, note: times, colour };
  });
  const title = `Market board: ${digits(work.clients)} clients, ${digits(work.symbols)} symbols, ${digits(work.updates)} updates a second`;
  const lead = `CPU of the server for each client and second, what it needs without clients taken off. Each watches ${work.watchMin} to ${work.watchMax} symbols.`;
  return bars(title, lead, rows);
}

function chart({ subscribers, peers }: Standings, burst: number): string {
  const work = burst === 1 ? "one message at a time" : `${burst} messages at once`;
  const rows = peers.flatMap((standing) => rowOf(standing, burst));
  return bars(`${digits(subscribers)} subscribers, ${work}`, "", rows);
}

/** A bar for each row, the cheapest first. */
function bars(title: string, lead: string, unsorted: readonly Row[]): string {
  // A cost that is not above nothing, as a difference of noisy runs may be, has no place on a logarithmic axis.
  const rows = unsorted.filter(({ micros }) => micros > 0).sort((a, b) => a.micros - b.micros);
  if (rows.length === 0) return "";
  const low = Math.log10(Math.min(...rows.map(({ micros }) => micros)) / 1.5);
  const high = Math.log10(Math.max(...rows.map(({ micros }) => micros)));
  const width = (micros: number): number => ((Math.log10(micros) - low) / (high - low || 1)) * BARS;
  const height = TOP + rows.length * ROW;
  const marks = ticks(low, high).map((micros) => {
    const x = (LABEL + width(micros)).toFixed(1);
    return `<line class="rule" x1="${x}" x2="${x}" y1="${TOP - 8}" y2="${height}"/><text class="soft" x="${x}" y="${TOP - 14}" text-anchor="middle">${digits(micros)} µs</text>`;
  });
  const drawn = rows.map(({ label, micros, note, colour }, index) => {
    const y = TOP + index * ROW;
    const end = LABEL + width(micros);
    return `<text x="${LABEL - 10}" y="${y + 17}" text-anchor="end">${escapeHtml(label)}</text><rect x="${LABEL}" y="${y + 4}" width="${(end - LABEL).toFixed(1)}" height="${ROW - 8}" rx="2" fill="var(${colour})"/><text x="${(end + 8).toFixed(1)}" y="${y + 17}">${digits(micros)} µs${note}</text>`;
  });
  const intro = lead === "" ? "" : `<p>${escapeHtml(lead)}</p>`;
  return `<figure><h2>${escapeHtml(title)}</h2>${intro}<svg viewBox="0 0 ${LABEL + BARS + VALUE} ${height + 4}" role="img" aria-label="${escapeHtml(title)}">${marks.join("")}${drawn.join("")}</svg></figure>`;
}

interface Row {
  readonly label: string;
  readonly micros: number;
  /** Behind the number. */
  readonly note: string;
  readonly colour: string;
}

function rowOf({ peer, costs }: Standing, burst: number): Row[] {
  return costs
    .filter((cost) => cost.burst === burst)
    .map(({ cpuMicros, ratio }) => ({
      label: peer.label,
      micros: cpuMicros.median,
      note: ratio === undefined ? "" : ` · ×${digits(ratio.median)}`,
      colour: peer.name === "fanwire" ? "--own" : peer.name.startsWith("limit") ? "--limit" : "--bar",
    }));
}

/** 1, 2 and 5 of every decade between the ends. */
function ticks(low: number, high: number): number[] {
  const all: number[] = [];
  for (let decade = Math.floor(low); decade <= high; decade++)
    for (const factor of [1, 2, 5]) {
      const micros = factor * 10 ** decade;
      if (Math.log10(micros) > low && Math.log10(micros) <= high) all.push(micros);
    }
  return all;
}
