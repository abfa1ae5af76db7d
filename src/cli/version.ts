import { readFileSync } from "node:fs";

/** The package's version, from its package.json. */
export function readVersion(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  const { version }: { version?: unknown } = JSON.parse(text);
  if (typeof version !== "string") throw new Error("package.json has no version");
  return version;
}
