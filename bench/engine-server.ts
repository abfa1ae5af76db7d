/**
 * The engine as it ships, through its public API, with its defaults: embedded broker, history, ring, limits; arguments
 * are settings as `fanwire serve` takes them. Runs as a child of a bench; its port is chosen by the system.
 */
import { tmpdir } from "node:os";
import { loadConfig } from "../server/config.js";
import { startServer } from "../server/server.js";
import { serveControl } from "./support/server-control.js";

// As many connections as a process with 20,000 files can hold, so that it need not warn about the default.
const defaults = [
  ...["--port=0", "--limits.connections=15000", "--log.level=warn"],
  // For who reads the state of a room.
  '--namespaces={"benchread":{"state":true}}',
];
// In a folder without a configuration file, and without the environment's settings.
const config = loadConfig({ argv: [...defaults, ...process.argv.slice(2)], env: {}, cwd: tmpdir() });
const { port } = await startServer(config);
serveControl(port);
