import type { z } from "zod";
import { masked } from "./config-mask.js";
import { ConfigError, type ConfigProblem, type Source } from "./config-problem.js";
import { RULES } from "./config-rules.js";
import { type Config, configSchema } from "./config-schema.js";
import { isRecord, type Setting } from "./config-sources.js";
import { allowedText, nodeAt } from "./config-table.js";
import { nearest } from "./nearest.js";

const GIVEN_CHARS_MAX = 80;

type Tree = { [key: string]: unknown };
type Path = readonly PropertyKey[];
/** One thing that the schema or a rule objects to. */
type Finding = { readonly path: Path; readonly message: string; readonly unknown?: boolean };

/**
 * Lays settings over each other, later ones above, and checks the result as a whole.
 * @throws ConfigError with `problems` and everything that schema and rules find.
 */
export function buildConfig(settings: readonly Setting[], problems: readonly ConfigProblem[]): Config {
  const tree: Tree = {};
  const sources = new Map<string, Source>();
  const all = [...problems];
  for (const setting of settings) {
    if (setting.path.includes("__proto__"))
      all.push({ ...problemAt(setting.path), source: setting.source, message: "this name is not allowed" });
    else lay(tree, setting, sources);
  }
  const parsed = configSchema.safeParse(tree);
  const findings = parsed.success ? [] : parsed.error.issues.flatMap(findingsOf);
  const rest = parsed.success ? parsed : configSchema.safeParse(without(tree, findings));
  if (rest.success) findings.push(...ruleFindings(rest.data, findings));
  for (const finding of findings) {
    const shown = finding.unknown
      ? undefined
      : (shownAt(tree, finding.path) ?? shownAt(rest.data, finding.path));
    all.push({
      ...problemAt(finding.path),
      given: shown,
      source: sourceAt(sources, finding.path),
      message: finding.message,
    });
  }
  if (all.length > 0 || !parsed.success) throw new ConfigError(all);
  return deepFreeze(parsed.data);
}

function lay(tree: Tree, { path, value, source }: Setting, sources: Map<string, Source>): void {
  let node = tree;
  const last = path.at(-1);
  if (last === undefined) return;
  for (const step of path.slice(0, -1)) {
    const child = node[step];
    const next: Tree = isRecord(child) ? child : {};
    node[step] = next;
    node = next;
  }
  // An empty section adds nothing to what lower layers say.
  if (!(isRecord(value) && isRecord(node[last]))) node[last] = value;
  sources.set(textOf(path), source);
}

function findingsOf(issue: z.core.$ZodIssue): Finding[] {
  if (issue.code === "unrecognized_keys") {
    const known = Object.keys(nodeAt(issue.path)?.properties ?? {});
    return issue.keys.map((name) => ({
      path: [...issue.path, name],
      message: unknownKey(name, issue.path, known),
      unknown: true,
    }));
  }
  if (issue.code === "invalid_key") {
    const names = nodeAt(issue.path.slice(0, -1))?.propertyNames;
    return [
      {
        path: issue.path,
        message: `the name is not allowed; allowed is ${names ? allowedText(names) : "another"}`,
        unknown: true,
      },
    ];
  }
  const node = nodeAt(issue.path);
  return [
    { path: issue.path, message: `allowed is ${node === undefined ? issue.message : allowedText(node)}` },
  ];
}

function unknownKey(name: string, path: Path, known: readonly string[]): string {
  const near = nearest(name, known);
  if (near !== undefined) return `unknown key; did you mean ${[...path, near].map(String).join(".")}?`;
  return `unknown key; allowed here is ${known.join(", ")}`;
}

function ruleFindings(config: Config, findings: readonly Finding[]): Finding[] {
  const wrong = findings.filter(({ unknown }) => !unknown).map(({ path }) => textOf(path));
  const touches = (key: string) => wrong.some((path) => within(path, key) || within(key, path));
  return RULES.filter(({ keys }) => !keys.some(touches))
    .flatMap(({ check }) => check(config))
    .map(({ path, allowed }) => ({ path, message: `allowed is ${allowed}` }));
}

function within(inner: string, outer: string): boolean {
  return inner === outer || inner.startsWith(`${outer}.`);
}

/** A copy without what is wrong, so that the rules can look at the rest. */
function without(tree: Tree, findings: readonly Finding[]): Tree {
  const copy = structuredClone(tree);
  for (const { path } of findings) {
    // One wrong item makes its whole list wrong.
    const end = path.findIndex((step) => typeof step === "number");
    const steps = (end < 0 ? path : path.slice(0, end)).map(String);
    let node: unknown = copy;
    for (const step of steps.slice(0, -1)) node = isTree(node) ? node[step] : undefined;
    const last = steps.at(-1);
    if (isTree(node) && last !== undefined) delete node[last];
  }
  return copy;
}

function isTree(value: unknown): value is Tree {
  return isRecord(value);
}

function shownAt(tree: unknown, path: Path): string | undefined {
  let value: unknown = tree;
  for (const [i, step] of path.entries()) {
    if (nodeAt(path.slice(0, i + 1))?.secret) return "(secret)";
    value = Array.isArray(value) ? value[Number(step)] : isRecord(value) ? value[String(step)] : undefined;
  }
  // Credentials may stand in an address where they do not belong.
  const text = JSON.stringify(masked(value, path))?.replaceAll(/\/\/[^"\s]*@/g, "//…@");
  return text === undefined || text.length <= GIVEN_CHARS_MAX ? text : `${text.slice(0, GIVEN_CHARS_MAX)}…`;
}

function sourceAt(sources: ReadonlyMap<string, Source>, path: Path): Source {
  for (let length = path.length; length > 0; length--) {
    const source = sources.get(textOf(path.slice(0, length)));
    if (source !== undefined) return source;
  }
  // A section has no source of its own; what was written in it has.
  const inside = [...sources].find(([key]) => within(key, textOf(path)));
  return inside?.[1] ?? { kind: "default" };
}

function problemAt(path: Path): { readonly path: string; readonly given: undefined } {
  return { path: textOf(path), given: undefined };
}

function textOf(path: Path): string {
  return path.map(String).join(".");
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const child of Object.values(value)) deepFreeze(child);
  }
  return value;
}
