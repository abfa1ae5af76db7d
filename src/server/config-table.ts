import { z } from "zod";
import { configSchema } from "./config-schema.js";

/** A node of the schema's JSON Schema, as far as it is used here. */
export interface SchemaNode {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: SchemaNode | boolean;
  readonly propertyNames?: SchemaNode;
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly default?: unknown;
  readonly description?: string;
  readonly allowed?: string;
  readonly defaultText?: string;
  readonly secret?: boolean;
  readonly alias?: string;
}

/** One key that can be set, with all its names. */
export interface ConfigEntry {
  readonly path: readonly string[];
  /** As in the file, joined by dots. */
  readonly key: string;
  readonly env: readonly string[];
  /** Without the dashes. */
  readonly flags: readonly string[];
  readonly node: SchemaNode;
  readonly defaultText: string;
  readonly allowed: string;
  readonly meaning: string;
  readonly secret: boolean;
}

/** The schema as JSON Schema (draft 2020-12), for editors and for everything that derives from it. */
export function configJsonSchema(): SchemaNode {
  const schema = z.toJSONSchema(configSchema, { io: "input", override: dropRandomDefault });
  const root: SchemaNode = JSON.parse(JSON.stringify(schema));
  const properties = { $schema: { type: "string", description: "for editors" }, ...root.properties };
  return { ...root, properties };
}

function dropRandomDefault(context: { jsonSchema: { default?: unknown; defaultText?: unknown } }): void {
  if (context.jsonSchema.defaultText !== undefined) delete context.jsonSchema.default;
}

const SCHEMA = configJsonSchema();

/** Every key that can be set, in the schema's order: the source of names, help and coercion. */
export const CONFIG_ENTRIES: readonly ConfigEntry[] = Object.freeze(
  entriesOf(SCHEMA, []).filter((entry) => entry.key !== "$schema"),
);

/** The schema's node at a path; undefined where nothing is known there. */
export function nodeAt(path: readonly PropertyKey[]): SchemaNode | undefined {
  let node: SchemaNode | undefined = SCHEMA;
  for (const step of path) {
    if (node === undefined) return undefined;
    node = typeof step === "number" ? node.items : childOf(node, String(step));
  }
  return node;
}

function childOf(node: SchemaNode, name: string): SchemaNode | undefined {
  if (node.properties !== undefined && Object.hasOwn(node.properties, name)) return node.properties[name];
  return typeof node.additionalProperties === "object" ? node.additionalProperties : undefined;
}

/** What a node allows, in words. */
export function allowedText(node: SchemaNode): string {
  if (node.allowed !== undefined) return node.allowed;
  if (node.anyOf !== undefined) return node.anyOf.map(allowedText).join(" | ");
  if (node.const !== undefined) return String(node.const);
  if (node.enum !== undefined) return node.enum.join(" | ");
  if (node.type === "boolean") return "true | false";
  if (node.type === "integer") return `integer, ${node.minimum ?? "any"} to ${node.maximum ?? "any"}`;
  if (node.properties !== undefined) return `object of ${Object.keys(node.properties).join(", ")}`;
  return node.type ?? "anything";
}

function entriesOf(node: SchemaNode, path: readonly string[]): ConfigEntry[] {
  return Object.entries(node.properties ?? {}).flatMap(([name, child]) =>
    child.properties === undefined ? [entryOf(child, [...path, name])] : entriesOf(child, [...path, name]),
  );
}

function entryOf(node: SchemaNode, path: readonly string[]): ConfigEntry {
  const names = node.alias === undefined ? [path] : [path, [node.alias]];
  return Object.freeze({
    path,
    key: path.join("."),
    env: [...new Set(names.map(envName))],
    flags: names.map(flagName),
    node,
    defaultText: node.defaultText ?? JSON.stringify(node.default),
    allowed: allowedText(node),
    meaning: node.description ?? "",
    secret: node.secret ?? false,
  });
}

function envName(path: readonly string[]): string {
  return `FANWIRE_${path.map((step) => words(step).join("_")).join("_")}`.toUpperCase();
}

function flagName(path: readonly string[]): string {
  return path.map((step) => words(step).join("-")).join(".");
}

function words(name: string): string[] {
  return name.split(/(?=[A-Z])/).map((word) => word.toLowerCase());
}

/** The reference of every key as plain text, for `fanwire config --help` and the README. */
export function configReference(): string {
  return CONFIG_ENTRIES.map(
    ({ key, env, flags, defaultText, allowed, meaning }) =>
      `${key}\n    ${meaning}\n    allowed: ${allowed}; default: ${defaultText}\n` +
      `    ${env.join(", ")}; ${flags.map((flag) => `--${flag}`).join(", ")}\n`,
  ).join("");
}

/** The same as a Markdown table. */
export function configMarkdown(): string {
  const cell = (text: string) => text.replaceAll("|", "\\|");
  const rows = CONFIG_ENTRIES.map(
    ({ key, env, defaultText, allowed, meaning }) =>
      `| \`${key}\` | ${env.map((name) => `\`${name}\``).join(", ")} | \`${cell(defaultText)}\` | ${cell(allowed)} | ${cell(meaning)} |`,
  );
  return [
    "| key | environment | default | allowed | meaning |",
    "| --- | --- | --- | --- | --- |",
    ...rows,
    "",
  ].join("\n");
}
