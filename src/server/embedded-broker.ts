import { type BrokerCounters, createBrokerCounters } from "../broker/counters.js";
import { MemoryBroker } from "../broker/memory.js";
import type { Broker } from "../core/ports.js";
import { type Config, settingsOf } from "./config.js";
import type { Logger } from "./log.js";

export interface EmbeddedBroker {
  readonly broker: Broker;
  readonly counters: BrokerCounters;
  stop(deadlineMs: number): Promise<void>;
}

const SWEEP_MS = 1_000;

/**
 * The memory broker, swept by the clock.
 * @param share How many such brokers of this box the rooms are spread over: each has its part of the memory.
 */
export function startEmbeddedBroker(config: Config, log: Logger, share = 1): EmbeddedBroker {
  const counters = createBrokerCounters();
  const { bytes, rooms, ids, keysPerRoom } = config.memory;
  const part = (whole: number) => Math.ceil(whole / share);
  const broker = new MemoryBroker({
    settingsOf: settingsOf(config),
    limits: { bytes: part(bytes), rooms: part(rooms), ids: part(ids), keysPerRoom },
    counters,
    onSinkError: (cause, room) => log.error({ err: cause, room }, "a room's sink threw"),
  });
  const sweeper = setInterval(() => broker.sweep(Date.now()), SWEEP_MS);
  const stop = async (deadlineMs: number): Promise<void> => {
    clearInterval(sweeper);
    await broker.stop(deadlineMs);
  };
  return { broker, counters, stop };
}
