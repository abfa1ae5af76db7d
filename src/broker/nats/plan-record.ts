import { z } from "zod";
import type { NamespaceSettings, StoredSettings } from "./stream-plan.js";

/**
 * What was provisioned, as it stands in the deployment's control stream: every node compares its own settings with it
 * before it serves, so that two that disagree about where rooms are never run together.
 */
export interface PlanRecord {
  readonly version: 1;
  readonly partitions: number;
  readonly defaults: NamespaceRecord;
  /** Those that differ from the defaults. */
  readonly namespaces: Readonly<Record<string, NamespaceRecord>>;
  /** Grows whenever rooms move to other streams; part of every epoch. */
  readonly generation: number;
  /**
   * By set: the smallest number of messages that its streams were ever told to keep a room or key. A room that has
   * fewer has lost none to that bound.
   */
  readonly messagesMin: Readonly<Record<string, number>>;
}

export interface NamespaceRecord {
  readonly messages: number;
  readonly seconds: number;
  readonly state: boolean;
  readonly ephemeral: boolean;
  /** Name of the set of streams, "" for the common one. */
  readonly set: string;
}

const count = z.int().min(0);
const namespace = z.object({
  messages: count,
  seconds: count,
  state: z.boolean(),
  ephemeral: z.boolean(),
  set: z.string(),
});
const schema = z.object({
  version: z.literal(1),
  partitions: z.int().min(1),
  defaults: namespace,
  namespaces: z.record(z.string(), namespace),
  generation: count,
  messagesMin: z.record(z.string(), count),
});

/** @throws Error where the text is no record that this version knows. */
export function parsePlanRecord(text: string): PlanRecord {
  const parsed = schema.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Error(
    `the deployment's plan is not one that this version of fanwire reads: ${issue?.path.join(".") ?? ""} ${issue?.message ?? ""}`,
  );
}

/** What a record says of namespaces. */
export type Namespaces = Pick<PlanRecord, "defaults" | "namespaces">;

/** A node's own settings in the form of the record. */
export function namespacesOf({ defaults, byName, sets }: NamespaceSettings): Namespaces {
  const record = (name: string, settings: StoredSettings): NamespaceRecord => ({
    messages: settings.history.messages,
    seconds: settings.history.seconds,
    state: settings.state,
    ephemeral: settings.ephemeral,
    set: settings.ephemeral ? "" : (sets?.[name] ?? ""),
  });
  const standard = record("", defaults);
  const namespaces: Record<string, NamespaceRecord> = {};
  for (const name of [...new Set([...Object.keys(byName), ...Object.keys(sets ?? {})])].sort()) {
    const own = record(name, byName[name] ?? defaults);
    if (FIELDS.some((field) => own[field] !== standard[field])) namespaces[name] = own;
  }
  return { defaults: standard, namespaces };
}

/** How one thing differs between a node and the plan. */
export interface Difference {
  /** `partitions`, `defaults`, or a namespace as `namespace chat`. */
  readonly what: string;
  readonly field: string;
  readonly here: string;
  readonly planned: string;
  /** Rooms are in other streams: nodes that disagree about it must not run together, not even for a while. */
  readonly moves: boolean;
}

/** How a node's own settings differ from the plan; none: they agree. */
export function differences(
  partitions: number,
  here: Namespaces,
  planned: PlanRecord,
): readonly Difference[] {
  const found: Difference[] = [];
  if (partitions !== planned.partitions)
    found.push({
      what: "the deployment",
      field: "partitions",
      here: String(partitions),
      planned: String(planned.partitions),
      moves: true,
    });
  const compare = (what: string, own: NamespaceRecord, other: NamespaceRecord): void => {
    for (const field of FIELDS) {
      if (own[field] === other[field]) continue;
      const moves = field === "state" || field === "ephemeral" || field === "set";
      found.push({ what, field, here: String(own[field]), planned: String(other[field]), moves });
    }
  };
  compare("defaults", here.defaults, planned.defaults);
  const names = new Set([...Object.keys(here.namespaces), ...Object.keys(planned.namespaces)]);
  for (const name of [...names].sort())
    compare(
      `namespace ${name}`,
      here.namespaces[name] ?? here.defaults,
      planned.namespaces[name] ?? planned.defaults,
    );
  return found;
}

/** One difference for people. */
export function differenceText({ what, field, here, planned }: Difference): string {
  return `${what}: ${field} is ${here === "" ? '""' : here} here and ${planned === "" ? '""' : planned} in the plan`;
}

/** JSON with sorted keys, so that equal things are equal text. */
export function canonical(value: unknown): string {
  return (
    JSON.stringify(value, (_key, part: unknown) =>
      typeof part === "object" && part !== null && !Array.isArray(part)
        ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
        : part,
    ) ?? "none"
  );
}

const FIELDS = ["messages", "seconds", "state", "ephemeral", "set"] as const;

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
