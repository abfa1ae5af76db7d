import { usesTokens } from "../server/auth/uses-tokens.js";
import { type Config, ConfigError, loadConfig } from "../server/config.js";
import { createLogger, type Logger } from "../server/log.js";
import { isLoopbackHost } from "../server/loopback.js";
import { type Outcome, type Supervisor, startSupervisor } from "../supervisor/supervisor.js";
import { aborted, type Command, Failure, type Io, writeLine } from "./io.js";
import { readVersion } from "./version.js";

const HELP = `Runs a node: a supervisor, worker processes that serve sockets on one port (one a core), and hubs that host the broker.

  fanwire serve                          on http://127.0.0.1:9001
  fanwire serve --port 9100 --demo       with the demo page
  fanwire serve --workers 4              four workers
  fanwire serve --config prod.json
  fanwire serve --tls-cert chain.pem --tls-key key.pem
  FANWIRE_HOST=0.0.0.0 FANWIRE_API_KEY=$(openssl rand -hex 32) fanwire serve

SIGTERM, or POST /v1/drain on the admin port, drains it: clients are sent elsewhere over drainSeconds, then it ends. SIGINT
(Ctrl-C) does the same within a second. A second signal ends it at once. SIGHUP replaces the workers one by one, with the
configuration as it is then and the build that is on disk.

The admin port (http://127.0.0.1:9002, admin.port) has a page that shows what the node does, /livez, /readyz, /metrics and /v1/node.

Takes every setting that "fanwire config --help" lists, as a flag, as a variable of the environment, or from
fanwire.config.json. The address goes to stdout, logs go to stderr.

Exit codes: 0 ended as asked, 1 it could not start or go on, 2 wrong configuration.
`;

export const serve: Command = {
  name: "serve",
  summary: "run the server",
  help: () => HELP,
  run: async (args, io) => {
    const load = (): Config => loadConfig({ argv: args, env: io.env, cwd: io.cwd });
    const config = load();
    warnOfOpenDoor(config, io);
    const log = createLogger(config);
    const node = await startSupervisor(config, { log, version: readVersion() });
    io.onHangup(() => reload(node, load, log));
    await writeLine(io.stdout, `fanwire ${readVersion()} listens on ${node.url}`);
    if (config.demo) await writeLine(io.stdout, `the demo page is at ${node.url}/`);
    const outcome = await Promise.race([node.ended, drained(node, io)]);
    if (outcome.code !== 0) throw new Failure(outcome.reason);
    return outcome.code;
  },
};

/** Whoever presses Ctrl-C waits in front of the terminal. */
const INTERACTIVE_DRAIN_SECONDS = 1;

async function drained(node: Supervisor, { stop }: Io): Promise<Outcome> {
  await aborted(stop);
  const { drainSeconds } = node.config;
  await node.drain(
    stop.reason === "SIGINT" ? Math.min(INTERACTIVE_DRAIN_SECONDS, drainSeconds) : drainSeconds,
  );
  return node.ended;
}

/** What is wrong with the new configuration leaves the node as it is. */
function reload(node: Supervisor, load: () => Config, log: Logger): void {
  try {
    void node.reload(load());
  } catch (cause) {
    if (!(cause instanceof ConfigError)) throw cause;
    log.error({ problems: cause.message }, "not reloaded: what runs stays as it is");
  }
}

function warnOfOpenDoor(config: Config, io: Io): void {
  const { host, apiKeys } = config;
  if (isLoopbackHost(host) || usesTokens(config)) return;
  io.stderr.write(
    apiKeys.length > 0
      ? `note: no tokens are asked for (auth.secret, auth.keyFile, auth.jwksUrl): whoever reaches ${host} may read every room.\n`
      : `WARNING: no tokens and no API key are asked for and ${host} is not loopback: EVERYBODY who reaches this port may ` +
          "read every room and publish.\n" +
          "WARNING: set FANWIRE_AUTH_SECRET and FANWIRE_API_KEY (openssl rand -hex 32 makes one), or listen on 127.0.0.1.\n",
  );
}
