/** fanwire's server as a library: `import { createConfig, startServer } from "fanwire"`. */
export type { BrokerCounters } from "../broker/counters.js";
export type { Counters } from "../core/counters.js";
export {
  type Config,
  ConfigError,
  type ConfigInput,
  type ConfigProblem,
  type ConfigSources,
  createConfig,
  loadConfig,
} from "./config.js";
export type { GatewayCounters } from "./gateway-limits.js";
export type { Logger } from "./log.js";
export { type RunningServer, type ServerOptions, startServer } from "./server.js";
