export { type NatsAccess, parseServers, type TlsFiles } from "./connection.js";
export { DEFAULT_NATS_LIMITS, type NatsLimits } from "./limits.js";
export type { NatsBroker } from "./nats-broker.js";
export { createNatsCounters, type NatsCounters } from "./nats-counters.js";
export { describeChange } from "./plan-change.js";
export { type Provisioning, type ProvisionOptions, prepareProvisioning } from "./provision.js";
export { type NatsBrokerOptions, type NatsNotice, startNatsBroker } from "./start.js";
export type { NamespaceSettings } from "./stream-plan.js";
