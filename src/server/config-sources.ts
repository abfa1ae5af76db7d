import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { type ConfigProblem, type Source, sourceText } from "./config-problem.js";
import type { ConfigInput } from "./config-schema.js";
import { CONFIG_ENTRIES, type SchemaNode } from "./config-table.js";
import { nearest } from "./nearest.js";

/** One value and where it was written. */
export interface Setting {
  readonly path: readonly string[];
  readonly value: unknown;
  readonly source: Source;
}

/** What one source says: in the order in which later ones win. */
export interface Layer {
  readonly settings: readonly Setting[];
  readonly problems: readonly ConfigProblem[];
}

export type Environment = Readonly<Record<string, string | undefined>>;

const FILE_NAME = "fanwire.config.json";

/** Said in full, so that they hold whatever `defaults` say. At 500 quotes a second, a break of half a minute is made whole. */
const DEMO_NAMESPACES: ConfigInput["namespaces"] = {
  market: { state: true, ephemeral: false, publish: "api", history: { messages: 20_000, seconds: 300 } },
  host: { state: true, ephemeral: false, publish: "api", history: { messages: 3_000, seconds: 300 } },
  cursors: { state: false, ephemeral: true, publish: "client" },
};

/** Variables of the prefix that other commands, scripts and tests read. */
const OTHER_VARIABLES: readonly string[] = [
  "FANWIRE_CONFIG",
  "FANWIRE_URL",
  "FANWIRE_TOKEN",
  "FANWIRE_BENCH_SECRET",
  "FANWIRE_NATS_SERVER",
  "FANWIRE_NATS_DIR",
  "FANWIRE_NATS_CONFIG",
];

/**
 * Kubernetes gives every container variables about the services around it, and those of a service named "fanwire"
 * look like ours. Nobody writes such values by hand.
 */
const SERVICE_LINK =
  /^FANWIRE_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_[A-Z]+)?)$/;
const SERVICE_LINK_PORT = /^(?:tcp|udp|sctp):\/\//;

/** The file that is named, or the one in the working directory if there is one. */
export function fileLayer(named: Setting | undefined, cwd: string): Layer {
  const name = named === undefined ? FILE_NAME : String(named.value);
  const source: Source = { kind: "file", name };
  const problem = (message: string): Layer => ({
    settings: [],
    problems: [{ path: "(file)", given: undefined, source, message }],
  });
  let text: string;
  try {
    text = readFileSync(resolve(cwd, name), "utf8");
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "error";
    if (code === "ENOENT" && named === undefined) return { settings: [], problems: [] };
    return problem(
      `cannot be read: ${code}${named === undefined ? "" : `, named by ${sourceText(named.source)}`}`,
    );
  }
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch (cause) {
    return problem(`is not JSON: ${syntaxProblem(text, cause)}`);
  }
  if (!isRecord(value)) return problem("is not one JSON object");
  const { $schema: _, ...rest } = value;
  return { settings: settingsIn(rest, [], source), problems: [] };
}

/** The variables of the environment that start with `FANWIRE_`; empty ones count as not set. */
export function envLayer(env: Environment): Layer {
  const settings: Setting[] = [];
  const problems: ConfigProblem[] = [];
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith("FANWIRE_") || text === undefined || text === "") continue;
    if (OTHER_VARIABLES.includes(name) || SERVICE_LINK.test(name)) continue;
    if (name.endsWith("PORT") && SERVICE_LINK_PORT.test(text)) continue;
    const source: Source = { kind: "env", name };
    const entry = ENTRY_BY_ENV.get(name);
    if (entry === undefined) problems.push(unknownName(name, source, ENTRY_BY_ENV.keys()));
    else settings.push(...settingsIn(coerce(text, entry.node), entry.path, source));
  }
  return { settings: joinLists(settings), problems };
}

export interface FlagLayer extends Layer {
  /** The file that `--config` names. */
  readonly file: Setting | undefined;
}

/** Command-line flags: `--limits.buffer-bytes 65536`, `--demo`, `--no-demo`, lists by repeating. */
export function flagLayer(argv: readonly string[]): FlagLayer {
  const settings: Setting[] = [];
  const problems: ConfigProblem[] = [];
  let file: Setting | undefined;
  const { tokens } = parseArgs({
    args: [...argv],
    options: PARSE_OPTIONS,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  let unknownAt: number | undefined;
  for (const token of tokens) {
    if (token.kind === "option-terminator") continue;
    if (token.kind === "positional") {
      // Meant as the value of the unknown flag before it, most likely.
      if (unknownAt !== undefined && token.index === unknownAt + 1) continue;
      const source: Source = { kind: "flag", name: token.value };
      problems.push({
        path: token.value,
        given: undefined,
        source,
        message: "not a flag; allowed are flags such as --port 9001",
      });
      continue;
    }
    const source: Source = { kind: "flag", name: token.rawName };
    const negated = token.name.startsWith("no-") && token.value === undefined;
    const entry = ENTRY_BY_FLAG.get(negated ? token.name.slice(3) : token.name);
    const isSwitch = entry?.node.type === "boolean";
    const text = token.value ?? (isSwitch ? String(!negated) : undefined);
    if (token.name !== "config" && (entry === undefined || (negated && !isSwitch))) {
      problems.push(unknownName(token.rawName, source, FLAG_NAMES));
      unknownAt = token.index;
    } else if (text === undefined)
      problems.push({
        path: token.rawName,
        given: undefined,
        source,
        message: `needs a value; allowed is ${entry?.allowed ?? "a file"}`,
      });
    else if (entry === undefined) file = { path: [], value: text, source };
    else settings.push(...settingsIn(coerce(text, entry.node), entry.path, source));
  }
  return { settings: joinLists(settings), problems, file };
}

/**
 * What `demo` adds below everything else: the rooms that the feed fills, and the one namespace that the page's
 * visitors may publish to. Nothing unless the layers above say `demo`.
 */
export function demoSettings(settings: readonly Setting[]): Setting[] {
  const demo = settings.findLast(({ path }) => path.length === 1 && path[0] === "demo");
  if (demo?.value !== true) return [];
  return settingsIn(DEMO_NAMESPACES, ["namespaces"], demo.source);
}

/** A whole value as settings of its leaves, so that each keeps its own source when layers are laid over each other. */
export function settingsIn(value: unknown, path: readonly string[], source: Source): Setting[] {
  if (!isRecord(value)) return [{ path, value, source }];
  const entries = Object.entries(value);
  if (entries.length === 0 && path.length > 0) return [{ path, value: {}, source }];
  return entries.flatMap(([name, child]) => settingsIn(child, [...path, name], source));
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const ENTRY_BY_ENV = new Map(
  CONFIG_ENTRIES.flatMap((entry) => entry.env.map((name) => [name, entry] as const)),
);
const ENTRY_BY_FLAG = new Map(
  CONFIG_ENTRIES.flatMap((entry) => entry.flags.map((name) => [name, entry] as const)),
);
const FLAG_NAMES = ["--config", ...[...ENTRY_BY_FLAG.keys()].map((name) => `--${name}`)];

const PARSE_OPTIONS = Object.fromEntries([
  ["config", { type: "string" as const }],
  ...[...ENTRY_BY_FLAG].map(([name, { node }]) => [
    name,
    { type: node.type === "boolean" ? ("boolean" as const) : ("string" as const) },
  ]),
]);

function unknownName(name: string, source: Source, names: Iterable<string>): ConfigProblem {
  const near = nearest(name, names);
  const message =
    near === undefined ? '"fanwire config --help" lists what is known' : `did you mean ${near}?`;
  return { path: name, given: undefined, source, message: `unknown; ${message}` };
}

/** Text as the value that the schema expects; what does not look like one stays text for the schema to refuse. */
function coerce(text: string, node: SchemaNode): unknown {
  if ((takes(node, "integer") || takes(node, "number")) && /^[+-]?\d+$/.test(text)) return Number(text);
  if (takes(node, "number") && /^[+-]?\d+\.\d+$/.test(text)) return Number(text);
  if (takes(node, "boolean") && /^(?:true|false)$/.test(text)) return text === "true";
  if (node.type === "object") return fromJson(text);
  if (node.type !== "array") return text;
  if (text.startsWith("[")) return fromJson(text);
  return text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "")
    .map((item) => (node.items === undefined ? item : coerce(item, node.items)));
}

function takes(node: SchemaNode, type: string): boolean {
  return node.type === type || node.anyOf?.some((branch) => branch.type === type) === true;
}

function fromJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not an error to hide: the schema refuses the text, and shows it with what is allowed.
    return text;
  }
}

/** A list that one source gives several times (a repeated flag, a name and its alias) is one list. */
function joinLists(settings: readonly Setting[]): Setting[] {
  const lists = new Map<string, unknown[]>();
  return settings.filter(({ path, value }) => {
    if (!Array.isArray(value)) return true;
    const known = lists.get(path.join("."));
    if (known === undefined) lists.set(path.join("."), value);
    else known.push(...value);
    return known === undefined;
  });
}

/** What the parser says, without the piece of the file that it may quote: that may hold a secret. */
function syntaxProblem(text: string, cause: unknown): string {
  const message = cause instanceof Error ? cause.message : "";
  const position = / at position (\d+)/.exec(message)?.[1];
  const what = message.replace(/ in JSON at position .*$/s, "").replace(/, (?:\.\.\.)?".*$/s, "");
  if (position === undefined) return what;
  const lines = text.slice(0, Number(position)).split("\n");
  return `${what}, line ${lines.length} column ${(lines.at(-1) ?? "").length + 1}`;
}
