import { readFileSync } from "node:fs";

/** The arguments of node that the `fanwire` command gives itself in its first line, for servers that are measured as shipped. */
export function shippedNodeArgs(): string {
  const [first = ""] = readFileSync(new URL("../../cli/main.js", import.meta.url), "utf8").split("\n", 1);
  return /^#!\/usr\/bin\/env -S node (.+)$/.exec(first)?.[1] ?? "";
}
