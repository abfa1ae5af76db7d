/**
 * The engine as it ships, through its public API, with its defaults: embedded broker, history, ring, limits. Runs as
 * a child of a bench; its port is chosen by the system.
 */
import { createConfig } from "../server/config.js";
import { startServer } from "../server/server.js";
import { serveControl } from "./support/server-control.js";

const { port } = await startServer(createConfig({ port: 0, log: { level: "warn" } }));
serveControl(port);
