/**
 * The engine as it ships, through its public API, with its defaults: embedded broker, history, ring, limits. Runs as
 * a child of a bench; its port is chosen by the system.
 */
import { createConfig } from "../server/config.js";
import { startServer } from "../server/server.js";
import { serveControl } from "./support/server-control.js";

// As many connections as a process with 20,000 files can hold, so that it need not warn about the default.
const config = createConfig({ port: 0, limits: { connections: 15_000 }, log: { level: "warn" } });
const { port } = await startServer(config);
serveControl(port);
