import { readFileSync, statSync } from "node:fs";

/** How many files and sockets this process may have open; Infinity where the system does not say. */
export function openFilesMax(): number {
  if (process.platform !== "linux") return Number.POSITIVE_INFINITY;
  return parseOpenFilesMax(readFileSync("/proc/self/limits", "utf8"));
}

/** From the text of `/proc/self/limits`, the soft limit. */
export function parseOpenFilesMax(limits: string): number {
  const soft = /^Max open files\s+(\S+)/m.exec(limits)?.[1];
  return soft === undefined || soft === "unlimited" ? Number.POSITIVE_INFINITY : Number(soft);
}

/** How many are open; undefined where the system does not say at once (Linux does from 6.2 on). */
export function openFilesNow(): number | undefined {
  if (process.platform !== "linux") return undefined;
  // Listing them would take milliseconds where there are many.
  const { size } = statSync("/proc/self/fd");
  return size > 0 ? size : undefined;
}
