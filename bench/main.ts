/** `npm run bench -- SCENARIO [options]`: the same as `fanwire bench`. */
import { runBench } from "./run-bench.js";

// So that exit handlers run, which end what was started.
process.once("SIGTERM", () => process.exit(143));

process.exitCode = await runBench(process.argv.slice(2), "npm run bench --", {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(`${text}\n`),
});
