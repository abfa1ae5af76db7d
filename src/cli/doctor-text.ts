import type { Capacity } from "../server/capacity.js";
import type { Facts } from "../server/capacity-facts.js";
import { count, type Finding } from "../server/capacity-findings.js";

/** Everything that `fanwire doctor` found; as JSON a number without a bound is null. */
export interface Diagnosis extends Capacity {
  /** Whether what is configured can be reached. */
  readonly ok: boolean;
  readonly facts: Facts;
}

/** The diagnosis for people, without a line's end at its end. */
export function diagnosisText({ ok, findings, ...capacity }: Diagnosis): string {
  const { configured, reachable, workers, hubs } = capacity;
  const processes = `${workers} ${workers === 1 ? "worker" : "workers"}, ${hubs} ${hubs === 1 ? "hub" : "hubs"}`;
  const verdict =
    reachable < configured
      ? `this machine allows ${count(reachable)} of the ${count(configured)} configured connections`
      : `this machine allows the ${count(configured)} configured connections`;
  const width = Math.max(...findings.map(({ subject }) => subject.length));
  const lines = findings.map(
    ({ level, subject, text }) => `  ${level.padEnd(7)}  ${subject.padEnd(width)}  ${text}`,
  );
  const todo = findings.some(({ fixes }) => fixes.length > 0) ? ["", "To do:", ...todoOf(findings)] : [];
  const blocked = !ok && reachable === configured ? ", but fanwire would not start" : "";
  return [`${verdict}${blocked} (${processes})`, "", ...lines, ...todo].join("\n");
}

/** What helps against several things stands once. */
function todoOf(findings: readonly Finding[]): string[] {
  const subjects = new Map<string, string[]>();
  for (const { subject, fixes } of findings) {
    if (fixes.length === 0) continue;
    const ways = fixes.map((fix, index) => `\n    ${index === 0 ? "" : "or "}${fix}`).join("");
    subjects.set(ways, [...(subjects.get(ways) ?? []), subject]);
  }
  return [...subjects].map(([ways, about]) => `  ${about.join(", ")}:${ways}`);
}
