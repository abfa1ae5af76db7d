import { type Config, loadConfig } from "../server/config.js";
import { aborted, type Command, type Io, writeLine } from "./io.js";
import { readVersion } from "./version.js";

const HELP = `Runs the server until SIGTERM or SIGINT, which stop it gracefully; a second one stops it at once.

  fanwire serve                          on http://127.0.0.1:9001
  fanwire serve --port 9002 --demo       with the demo page
  fanwire serve --config prod.json
  FANWIRE_HOST=0.0.0.0 FANWIRE_API_KEY=$(openssl rand -hex 32) fanwire serve

Takes every setting that "fanwire config --help" lists, as a flag, as a variable of the environment, or from
fanwire.config.json. The address goes to stdout, logs go to stderr.

Exit codes: 0 stopped as asked, 1 it could not start, 2 wrong configuration.
`;

export const serve: Command = {
  name: "serve",
  summary: "run the server",
  help: () => HELP,
  run: async (args, io) => {
    const config = loadConfig({ argv: args, env: io.env, cwd: io.cwd });
    warnOfOpenDoor(config, io);
    // Only here, since it loads a native module that the other commands do without.
    const { startServer } = await import("../server/server.js");
    const server = await startServer(config);
    await writeLine(io.stdout, `fanwire ${readVersion()} listens on ${server.url}`);
    if (config.demo) await writeLine(io.stdout, `the demo page is at ${server.url}/`);
    await aborted(io.stop);
    await server.stop();
    return 0;
  },
};

function warnOfOpenDoor({ host, apiKeys }: Config, io: Io): void {
  if (apiKeys.length > 0 || isLoopback(host)) return;
  io.stderr.write(
    `WARNING: no API key is configured and ${host} is not loopback: EVERYBODY who reaches this port may publish.\n` +
      "WARNING: set FANWIRE_API_KEY (openssl rand -hex 32 makes one), or listen on 127.0.0.1.\n",
  );
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(?:\.\d+){3}$/.test(host);
}
