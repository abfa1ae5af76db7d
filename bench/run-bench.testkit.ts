import { runBench } from "./run-bench.js";

export interface BenchOutcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs the command in this process, and keeps what it says. */
export async function runQuietly(...args: string[]): Promise<BenchOutcome> {
  let [out, err] = ["", ""];
  const code = await runBench(args, "fanwire bench", {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += `${text}\n`;
    },
  });
  return { code, out, err };
}
