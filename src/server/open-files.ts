import { readFileSync } from "node:fs";

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
