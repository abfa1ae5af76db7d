#!/usr/bin/env node
// The borders that the compiler cannot hold: who may load uWebSockets.js, and no clock or randomness in protocol and core.
// (Which folder may import which is held by the project references in src/*/tsconfig.json.)
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const RULES = [
  {
    folders: ["src"],
    except: ["src/server/gateway-uws.ts"],
    pattern: /["']uWebSockets\.js["']|["']uwebsockets["']/,
    why: "only src/server/gateway-uws.ts loads uWebSockets.js",
  },
  {
    folders: ["src/protocol", "src/core"],
    except: [],
    pattern:
      /\bDate\.now\b|\bnew Date\b|\bMath\.random\b|\bsetTimeout\b|\bsetInterval\b|\bprocess\.|["']node:/,
    why: "protocol and core take time and randomness as arguments and do no I/O",
  },
];

const isSource = (name) =>
  name.endsWith(".ts") && !name.endsWith(".test.ts") && !name.endsWith(".testkit.ts");

let faults = 0;
for (const { folders, except, pattern, why } of RULES) {
  for (const folder of folders) {
    for (const name of readdirSync(folder, { recursive: true }).map(String).filter(isSource)) {
      const file = join(folder, name);
      if (except.includes(file)) continue;
      readFileSync(file, "utf8")
        .split("\n")
        .forEach((line, index) => {
          if (!pattern.test(line) || /^\s*(\*|\/\/|\/\*)/.test(line)) return;
          faults += 1;
          console.error(`${file}:${index + 1}: ${why}\n  ${line.trim()}`);
        });
    }
  }
}
if (faults > 0) process.exit(1);
console.log("borders hold");
