import {
  canonical,
  type Difference,
  differences,
  differenceText,
  type Namespaces,
  type PlanRecord,
} from "./plan-record.js";
import {
  controlConfig,
  partitionConfig,
  revokedConfig,
  type StorageOptions,
  type StreamConfig,
} from "./stream-config.js";
import { idOf, type StreamPlan } from "./stream-plan.js";

/** A stream as it is. */
export interface ExistingStream {
  /** Its whole configuration, what fanwire does not set included. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly messages: number;
}

export type Step =
  | { readonly kind: "create"; readonly config: StreamConfig }
  | {
      readonly kind: "update";
      readonly config: Readonly<Record<string, unknown>> & { readonly name: string };
      readonly changes: readonly FieldChange[];
    };

export interface FieldChange {
  readonly field: string;
  readonly from: unknown;
  readonly to: unknown;
}

/** What provisioning would do. */
export interface PlanChange {
  /** Of the control stream, before all else. */
  readonly control: Step | undefined;
  /** Of the rooms' streams, and of that of revocations. */
  readonly steps: readonly Step[];
  /** What would be lost; not empty: only with `--force`. */
  readonly losses: readonly string[];
  /** What makes it impossible. */
  readonly problems: readonly string[];
  /** How the settings differ from what was provisioned before. */
  readonly settings: readonly Difference[];
  /** Streams that the plan no longer has. They are left as they are. */
  readonly left: readonly string[];
  /** The record that is written. Undefined: it stands already. */
  readonly record: PlanRecord | undefined;
}

export interface PlanNow {
  /** By name: every stream whose name begins with the prefix. */
  readonly streams: ReadonlyMap<string, ExistingStream>;
  readonly record: PlanRecord | undefined;
}

/** Compares what there is with what there should be. Pure: nothing is done. */
export function planChange(
  plan: StreamPlan,
  namespaces: Namespaces,
  storage: StorageOptions,
  now: PlanNow,
): PlanChange {
  const { partitions } = plan.subjects;
  const settings = now.record === undefined ? [] : differences(partitions, namespaces, now.record);
  const losses = settings.filter(({ moves }) => moves).map(lossOfMove);
  const problems: string[] = [];
  const step = (config: StreamConfig): Step[] => {
    const existing = now.streams.get(config.name);
    if (existing === undefined) return [{ kind: "create", config }];
    const changes = changesOf(config, existing.config);
    if (changes.length === 0) return [];
    const fixed = changes.filter(({ field }) => FIXED.includes(field));
    problems.push(...fixed.map((change) => `stream ${config.name}: ${changeText(change)} cannot be changed`));
    losses.push(...changes.flatMap((change) => lossOf(config.name, change, existing.messages)));
    return [{ kind: "update", config: { ...existing.config, ...config }, changes }];
  };
  const [control] = step(controlConfig(plan.subjects, storage.replicas));
  const configs = plan.sets.flatMap((set) =>
    Array.from({ length: partitions }, (_, partition) => partitionConfig(plan, set, partition, storage)),
  );
  const steps = [...configs, revokedConfig(plan.subjects, storage)].flatMap(step);
  const names = new Set(configs.map(({ name }) => name));
  const left = [...now.streams.keys()].filter((name) => !names.has(name) && isOurs(plan, name)).sort();
  const record = nextRecord(plan, namespaces, settings, now);
  return { control, steps, losses, problems, settings, left, record };
}

/** A change as lines for people. Streams that change alike share one. */
export function describeChange(change: PlanChange): string[] {
  const lines: string[] = [];
  for (const difference of change.settings) lines.push(differenceText(difference));
  const steps = change.control === undefined ? change.steps : [change.control, ...change.steps];
  const created = steps.flatMap((step) => (step.kind === "create" ? [step.config] : []));
  if (created.length > 0) {
    const replicas = created[0]?.num_replicas ?? 1;
    lines.push(
      `create ${namesText(created.map(({ name }) => name))}, ${replicas} replica${replicas === 1 ? "" : "s"}`,
    );
  }
  const alike = new Map<string, string[]>();
  for (const step of steps) {
    if (step.kind !== "update") continue;
    const text = step.changes.map(changeText).join(", ");
    alike.set(text, [...(alike.get(text) ?? []), step.config.name]);
  }
  for (const [text, names] of alike) lines.push(`update ${namesText(names)}: ${text}`);
  for (const name of change.left) lines.push(`leave ${name}: no namespace is stored there any more`);
  for (const loss of change.losses) lines.push(`LOSES DATA: ${loss}`);
  for (const problem of change.problems) lines.push(`IMPOSSIBLE: ${problem}`);
  if (change.record !== undefined) lines.push("write the plan for nodes to compare with");
  return lines.length > 0 ? lines : ["nothing to do"];
}

/** What the server does not change in a stream that exists. */
const FIXED: readonly string[] = ["storage", "retention", "max_consumers", "deny_delete"];

/** Less of these is less that is kept. */
const BOUNDS: readonly string[] = ["max_msgs_per_subject", "max_age", "max_bytes", "max_msgs"];

function changesOf(wanted: StreamConfig, existing: Readonly<Record<string, unknown>>): FieldChange[] {
  return Object.entries(wanted)
    .map(([field, to]) => ({ field, from: existing[field], to }))
    .filter(({ from, to }) => canonical(from) !== canonical(to));
}

function lossOf(stream: string, { field, from, to }: FieldChange, messages: number): string[] {
  if (field === "num_replicas" && Number(to) < Number(from))
    return [`stream ${stream} would have ${String(to)} replicas instead of ${String(from)}`];
  if (messages === 0 || !BOUNDS.includes(field) || boundOf(to) >= boundOf(from)) return [];
  return [`stream ${stream} would drop what is beyond ${field} ${String(to)}, ${String(from)} until now`];
}

/** In the API 0 and -1 are no bound. */
function boundOf(value: unknown): number {
  return Number(value) > 0 ? Number(value) : Number.POSITIVE_INFINITY;
}

function lossOfMove(difference: Difference): string {
  return `${differenceText(difference)}: its rooms begin anew in other streams, and what they have is not read any more`;
}

function nextRecord(
  plan: StreamPlan,
  namespaces: Namespaces,
  settings: readonly Difference[],
  { record }: PlanNow,
): PlanRecord | undefined {
  const moved = settings.some(({ moves }) => moves);
  const messagesMin: Record<string, number> = { ...record?.messagesMin };
  for (const { set, messages } of plan.sets)
    messagesMin[idOf(set)] = Math.min(messages, record?.messagesMin[idOf(set)] ?? messages);
  const next: PlanRecord = {
    version: 1,
    partitions: plan.subjects.partitions,
    ...namespaces,
    generation: (record?.generation ?? 0) + (moved ? 1 : 0),
    messagesMin,
  };
  return record !== undefined && canonical(record) === canonical(next) ? undefined : next;
}

/** Whether the name is of the form that a plan with this prefix gives its streams. */
function isOurs({ subjects }: StreamPlan, name: string): boolean {
  return new RegExp(`^${subjects.prefix.toUpperCase()}(?:_KEY)?(?:_[A-Z][A-Z0-9]*)?_\\d+$`).test(name);
}

function changeText({ field, from, to }: FieldChange): string {
  return `${field} ${canonical(from)} → ${canonical(to)}`;
}

/** FW_0 to FW_63 in one piece. */
function namesText(names: readonly string[]): string {
  const runs: string[] = [];
  for (let index = 0; index < names.length; ) {
    const [, stem = "", number = ""] = /^(.*_)(\d+)$/.exec(names[index] ?? "") ?? [];
    let end = index + 1;
    while (number !== "" && names[end] === `${stem}${Number(number) + end - index}`) end += 1;
    runs.push(end - index > 2 ? `${names[index]} to ${names[end - 1]}` : names.slice(index, end).join(", "));
    index = end;
  }
  return runs.join(", ");
}
