import { cpus } from "node:os";
import { BadOption, describeOptions, parseOptions } from "../../support/scenario.js";
import { parseAddress } from "./address.js";
import { AgentServer } from "./agent-server.js";
import { readSecret } from "./secret.js";

const OPTIONS = {
  listen: { default: "127.0.0.1:7000", help: "HOST:PORT that benches connect to" },
  "secret-file": {
    default: "",
    help: "file with the secret that benches know; default: FANWIRE_BENCH_SECRET",
  },
  processes: { default: cpus().length, help: "client processes at once" },
} as const;

export interface AgentIo {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

/** What `fanwire bench agent` does until its process is ended; 1 where it cannot listen. @throws BadOption */
export async function runAgent(args: readonly string[], io: AgentIo): Promise<0 | 1> {
  if (args.includes("--help") || args.includes("-h")) {
    io.out(
      `agent: clients for benches on other machines, by --fleet; whoever knows the secret may have it open connections to any address\n\n${describeOptions(OPTIONS)}\n`,
    );
    return 0;
  }
  const options = parseOptions(OPTIONS, args);
  const { host, port } = parseAddress("listen", options.listen, 0);
  if (!Number.isInteger(options.processes) || options.processes < 1)
    throw new BadOption("--processes: an integer of 1 or more");
  const secret = readSecret(options["secret-file"]);
  try {
    const agents = await AgentServer.listen({
      ...{ host, port, secret, processes: options.processes },
      tell: io.err,
    });
    io.out(`listening on ${host}:${agents.port}, ${options.processes} client processes at the most\n`);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    io.err(`cannot listen on ${host}:${port} (${code ?? message})`);
    return 1;
  }
  // Its sockets keep the process until a signal ends it.
  return await new Promise<0>(() => {});
}
