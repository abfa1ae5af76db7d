import type { Command } from "./io.js";

const NAME = "fanwire bench";

const HELP = `Measures the engine on this machine: what a delivery costs, how late it is, how many connections it holds, and
the same of other servers beside it.

  fanwire bench                             lists what can be measured
  fanwire bench fanout                      runs one, prints its tables as Markdown
  fanwire bench fanout --help               its options
  fanwire bench fanout --url http://127.0.0.1:9001 --json result.json
  fanwire bench agent --listen 10.0.0.7:7000
                                            lends this machine's clients to benches elsewhere, which name it:
  fanwire bench fanout --url http://10.0.0.5:9001 --fleet 10.0.0.7:7000,10.0.0.8:7000

It starts servers and clients of its own, unless --url says where an engine runs already, and ends them. The host
should be idle otherwise.

Exit codes: 0 measured; 1 not, or in part (marked INCOMPLETE), or the clients were the bottleneck (marked INVALID);
2 asked for in a way that cannot be.
`;

export const bench: Command = {
  name: "bench",
  summary: "measure the engine, and other servers beside it",
  help: () => HELP,
  explainsArguments: true,
  run: async (args, io) => {
    // Loaded when it is asked for: a server has no use for it.
    const { runBench } = await import("../bench/run-bench.js");
    // What was started ends with this process; a second signal is not needed.
    io.stop.addEventListener("abort", () => process.exit(io.stop.reason === "SIGTERM" ? 143 : 130), {
      once: true,
    });
    return await runBench(args, NAME, {
      out: (text) => io.stdout.write(text),
      err: (text) => io.stderr.write(`${text}\n`),
    });
  },
};
