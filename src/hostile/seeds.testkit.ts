import { readFileSync } from "node:fs";
import type { Script } from "./fuzz-grammar.testkit.js";

/** A script that found something once, as it stands in seeds.json. */
export interface Seed {
  readonly name: string;
  readonly end: Script["end"];
  /** In base64. */
  readonly pieces: readonly string[];
}

const FILE = new URL("../../src/hostile/seeds.json", import.meta.url);

export function readSeeds(): readonly Seed[] {
  const seeds: readonly Seed[] = JSON.parse(readFileSync(FILE, "utf8"));
  return seeds;
}

export function scriptOf({ pieces, end }: Seed): Script {
  return { pieces: pieces.map((piece) => Buffer.from(piece, "base64")), end };
}

export function seedOf(name: string, { pieces, end }: Script): Seed {
  return { name, end, pieces: pieces.map((piece) => Buffer.from(piece).toString("base64")) };
}
