import type { Broker } from "../core/ports.js";
import { BrokerLayer } from "./broker-layer.js";

/** The broker with some of its methods replaced. */
export function layered(inner: Broker, changes: Partial<Omit<Broker, "gossip">>): Broker {
  return Object.assign(new BrokerLayer(inner), changes);
}
