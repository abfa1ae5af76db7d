import { digits } from "../support/report.js";
import type { Standing, Standings } from "./standings.js";

const ROW = 26;
const LABEL = 320;
const BARS = 520;
const VALUE = 150;
const TOP = 34;

/** A page of its own, without scripts and without anything from elsewhere: for each kind of work the servers by what they cost. */
export function comparePage(all: readonly Standings[]): string {
  const charts = all.flatMap((standings) => standings.bursts.map((burst) => chart(standings, burst)));
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Broadcast servers compared</title>
<style>
:root { color-scheme: light dark; --ink: #1b2733; --soft: #66788a; --paper: #fff; --rule: #dfe5eb; --bar: #9db4c8; --own: #e2574c; --limit: #3b7f5c }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #8fa1b3; --paper: #10161c; --rule: #25303a; --bar: #4b6276; --own: #ff7468; --limit: #55b585 } }
body { margin: 2rem auto; max-width: 1040px; padding: 0 1rem; font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper) }
h1 { font-size: 1.5rem; margin: 0 0 .3rem } p { color: var(--soft); margin: .2rem 0 1.5rem; max-width: 70ch }
h2 { font-size: 1.05rem; margin: 2rem 0 .3rem }
svg { width: 100%; height: auto; font: 13px system-ui, sans-serif } svg text { fill: var(--ink) } svg .soft { fill: var(--soft) }
</style>
<h1>What one delivery costs the server</h1>
<p>CPU of all of a server's processes, system calls included, in microseconds a delivery; the axis is logarithmic, less is better.
× is the ratio to the limit, a C program that writes a ready frame to every socket, measured in the same round. Medians.</p>
${charts.join("\n")}
</html>
`;
}

function chart({ subscribers, peers }: Standings, burst: number): string {
  const rows = peers.flatMap((standing) => rowOf(standing, burst)).sort((a, b) => a.micros - b.micros);
  if (rows.length === 0) return "";
  const low = Math.log10(Math.min(...rows.map(({ micros }) => micros)) / 1.5);
  const high = Math.log10(Math.max(...rows.map(({ micros }) => micros)));
  const width = (micros: number): number => ((Math.log10(micros) - low) / (high - low || 1)) * BARS;
  const height = TOP + rows.length * ROW;
  const marks = ticks(low, high).map((micros) => {
    const x = (LABEL + width(micros)).toFixed(1);
    return `<line x1="${x}" x2="${x}" y1="${TOP - 8}" y2="${height}" stroke="var(--rule)"/><text class="soft" x="${x}" y="${TOP - 14}" text-anchor="middle">${digits(micros)} µs</text>`;
  });
  const bars = rows.map(({ label, micros, ratio, colour }, index) => {
    const y = TOP + index * ROW;
    const end = LABEL + width(micros);
    const times = ratio === undefined ? "" : ` · ×${digits(ratio)}`;
    return `<text x="${LABEL - 10}" y="${y + 17}" text-anchor="end">${escapeHtml(label)}</text><rect x="${LABEL}" y="${y + 4}" width="${(end - LABEL).toFixed(1)}" height="${ROW - 8}" rx="2" fill="var(${colour})"/><text x="${(end + 8).toFixed(1)}" y="${y + 17}">${digits(micros)} µs${times}</text>`;
  });
  const work = burst === 1 ? "one message at a time" : `${burst} messages at once`;
  return `<h2>${digits(subscribers)} subscribers, ${work}</h2>
<svg viewBox="0 0 ${LABEL + BARS + VALUE} ${height + 4}" role="img" aria-label="${work}">${marks.join("")}${bars.join("")}</svg>`;
}

interface Row {
  readonly label: string;
  readonly micros: number;
  readonly ratio: number | undefined;
  readonly colour: string;
}

function rowOf({ peer, costs }: Standing, burst: number): Row[] {
  return costs
    .filter((cost) => cost.burst === burst)
    .map(({ cpuMicros, ratio }) => ({
      label: peer.label,
      micros: cpuMicros.median,
      ratio: ratio?.median,
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

function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
