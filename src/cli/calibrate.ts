import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { parseFlags } from "./flags.js";
import { type Command, UsageError } from "./io.js";

const HELP = `Measures on this machine what a write, a message, a byte, a publish, a connection and its memory cost, for
"fanwire plan". It takes some 4 minutes, starts engines and clients of its own and ends them; the host should be idle.

  fanwire calibrate
  fanwire calibrate --out prices.json --seconds 3

  --seconds N       length of a window; default 0.8
  --repetitions N   windows of each run, the middle one counts; default 9
  --scale SHARE     of the clients that it takes; default 1. Below 0.1, for a try, only a part is measured
  --out FILE        default: fanwire/calibration.json in the user's cache folder

A third of the runs is held out of the fit and says how far predictions are off. Exit codes: 0 done, 1 not, 2 wrong
arguments.
`;

export const calibrate: Command = {
  name: "calibrate",
  summary: "measure what things cost on this machine, for plan",
  help: () => HELP,
  run: async (args, io) => {
    const { values, positionals } = parseFlags(args, {
      seconds: { type: "string" },
      repetitions: { type: "string" },
      scale: { type: "string" },
      out: { type: "string" },
    });
    if (positionals.length > 0) throw new UsageError(`${JSON.stringify(positionals[0])} is no flag`);
    const seconds = numberOf("seconds", values.seconds, 0.8, 0.05);
    const repetitions = Math.round(numberOf("repetitions", values.repetitions, 9, 1));
    const scale = numberOf("scale", values.scale, 1, 0.001);
    const { calibrationFile } = await import("../bench/planner/calibration.js");
    const { calibrate: measure } = await import("../bench/planner/calibrate.js");
    const { calibrationText } = await import("../bench/planner/calibration-text.js");
    io.stop.addEventListener("abort", () => process.exit(io.stop.reason === "SIGTERM" ? 143 : 130), {
      once: true,
    });
    const calibration = await measure({
      seconds,
      repetitions,
      scale,
      progress: (text) => io.stderr.write(`${text}\n`),
    });
    const file = values.out ?? calibrationFile(io.env);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `${JSON.stringify(calibration, undefined, 1)}\n`);
    io.stdout.write(`${calibrationText(calibration)}\nWritten to ${file}.\n`);
    return 0;
  },
};

function numberOf(name: string, text: string | undefined, fallback: number, min: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (text.trim() !== "" && value >= min && value <= 1_000) return value;
  throw new UsageError(`--${name} is ${JSON.stringify(text)}, not a number from ${min} to 1000`);
}
