/** `npm run bench -- SCENARIO [options]`: runs one measurement and prints its table as Markdown. */
import { writeFileSync } from "node:fs";
import { bigroom } from "./bigroom.js";
import { codec } from "./codec.js";
import { compare } from "./compare.js";
import { connections } from "./connections.js";
import { burst, fanout } from "./fanout.js";
import { httpPublish } from "./http-publish.js";
import { hub } from "./hub.js";
import { idle } from "./idle.js";
import { storm } from "./storm.js";
import { formatTable, machine } from "./support/report.js";
import { describeOptions, type Scenario } from "./support/scenario.js";

const SCENARIOS: readonly Scenario[] = [
  codec,
  fanout,
  burst,
  idle,
  httpPublish,
  connections,
  storm,
  bigroom,
  hub,
  compare,
];

async function main(args: readonly string[]): Promise<void> {
  const [name, ...rest] = args;
  const scenario = SCENARIOS.find((candidate) => candidate.name === name);
  if (scenario === undefined) {
    const known = name === undefined || name === "--help";
    (known ? console.log : console.error)(known ? usage() : `no scenario "${name}"\n\n${usage()}`);
    process.exitCode = known ? 0 : 2;
    return;
  }
  if (rest.includes("--help")) {
    console.log(
      `${scenario.name}: ${scenario.summary}\n\n${describeOptions(scenario.options)}\n${JSON_HELP}`,
    );
    return;
  }
  const { file, others } = takeJsonFile(rest);
  const before = machine();
  const tables = await scenario.run(others);
  const command = `npm run bench -- ${[scenario.name, ...others].join(" ")}`;
  for (const table of tables) console.log(`${formatTable(table)}\n`);
  console.log(
    `${Object.entries(before)
      .map(([key, value]) => `${key} ${value}`)
      .join(", ")}\n${command}`,
  );
  if (file !== undefined)
    writeFileSync(file, `${JSON.stringify({ command, machine: before, tables }, null, 2)}\n`);
}

const JSON_HELP = `  ${"--json FILE".padEnd(22)} write the unrounded numbers there`;

function usage(): string {
  const list = SCENARIOS.map(({ name, summary }) => `  ${name.padEnd(14)} ${summary}`).join("\n");
  return `npm run bench -- SCENARIO [options]\n\n${list}\n\nSCENARIO --help lists its options. The host should be idle otherwise.`;
}

function takeJsonFile(args: readonly string[]): { file: string | undefined; others: string[] } {
  const at = args.indexOf("--json");
  if (at < 0) return { file: undefined, others: [...args] };
  const file = args[at + 1];
  if (file === undefined) throw new Error("--json needs a file");
  return { file, others: args.filter((_, index) => index !== at && index !== at + 1) };
}

// So that exit handlers run, which end what was started.
process.once("SIGTERM", () => process.exit(143));

main(process.argv.slice(2)).catch((cause: unknown) => {
  console.error(cause instanceof Error ? cause.message : cause);
  process.exitCode = 1;
});
