import { isRecord } from "./config-sources.js";
import { nodeAt } from "./config-table.js";

/** A value of the configuration as it may be shown: every secret in it replaced by `***`. */
export function masked(value: unknown, path: readonly PropertyKey[]): unknown {
  if (nodeAt(path)?.secret) return Array.isArray(value) ? value.map(() => "***") : "***";
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, child]) => [name, masked(child, [...path, name])]),
  );
}
