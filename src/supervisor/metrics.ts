import { Counter, Gauge, Registry } from "prom-client";
import type { HubReport, WorkerReport } from "./ipc.js";
import {
  BROKER_TOTALS,
  ENGINE_NAMES,
  GATEWAY_NAMES,
  HUB_NAMES,
  LINK_NAMES,
  METRIC_HELP,
  type MetricName,
} from "./metric-names.js";
import { type HistogramFamily, histogramRegistry } from "./metrics-histograms.js";
import type { NodeStatus, ProcessStatus } from "./status.js";
import type { NodeTelemetry } from "./telemetry.js";

/** `Content-Type` of {@link metricsOf}. */
export const METRICS_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

interface Family {
  readonly type: "counter" | "gauge";
  readonly help: string;
  /** By their labels; several totals of a process may be one sample. */
  readonly samples: Map<string, Sample>;
}

type Totals = Readonly<Record<string, number>>;

/**
 * The node in Prometheus' text format: everything that its processes said with their last beat, at most a second ago.
 * Label sets are bounded: `process` (worker-0, hub-0; worker-0-leaving while its replacement is there), namespaces that have
 * settings, rates that these allow, and kinds that are known beforehand; never a room or a client.
 * A worker that was replaced begins its totals anew, as Prometheus expects of a restart. Histograms are of all workers
 * together, those that have ended too, so that a restart takes nothing away.
 */
export async function metricsOf(status: NodeStatus): Promise<string> {
  const families = new Families();
  addNode(families, status);
  for (const [process, worker] of named("worker", status.workers)) {
    addProcess(families, process, worker);
    if (worker.report !== undefined) addWorker(families, process, worker.report, status.hubs.length > 0);
  }
  for (const [process, hub] of named("hub", status.hubs)) {
    addProcess(families, process, hub);
    if (hub.report !== undefined) addHub(families, process, hub.report);
  }
  const histograms = histogramRegistry(histogramsOf(status.telemetry));
  return await Registry.merge([families.registry(), histograms]).metrics();
}

function histogramsOf({ latency, staleness, broker }: NodeTelemetry): HistogramFamily[] {
  return [
    {
      name: "fanwire_delivery_latency_seconds",
      help: "From a message's time, stamped where it was published, to the turn that hands it to sockets: one for each delivery of every message, by samples",
      label: "namespace",
      histograms: latency,
    },
    {
      name: "fanwire_staleness_seconds",
      help: "The same in conflated classes, by messages a second: how old the latest value of a key was when it was sent",
      label: "class",
      histograms: staleness,
    },
    {
      name: "fanwire_broker_seconds",
      help: "How long the broker took to answer a worker, with hub and NATS between, by what it was asked",
      label: "operation",
      histograms: broker,
    },
  ];
}

/** The first process of a place is the one that has it; others are leaving it. */
function* named<R>(
  role: string,
  processes: readonly ProcessStatus<R>[],
): Iterable<readonly [string, ProcessStatus<R>]> {
  const seen = new Set<number>();
  for (const process of processes) {
    yield [`${role}-${process.index}${seen.has(process.index) ? "-leaving" : ""}`, process];
    seen.add(process.index);
  }
}

function addNode(families: Families, status: NodeStatus): void {
  const { node, versions, ready, uptimeSeconds, stalls, limits, supervisor, telemetry } = status;
  families.gauge("fanwire_info", "The node, its version and that of Node.js; always 1", 1, {
    node,
    version: versions.fanwire,
    nodejs: versions.node,
  });
  families.gauge("fanwire_ready", "Whether new clients should be sent to this node: 1 or 0", Number(ready));
  families.gauge("fanwire_uptime_seconds", "Since the supervisor started", uptimeSeconds);
  families.counter("fanwire_stalls_total", "Processes killed because they stood still", stalls);
  const help =
    "Sampled deliveries of messages from the future: clocks of nodes differ, and latencies are wrong";
  families.counter("fanwire_early_messages_total", help, telemetry.early);
  addUsage(families, "supervisor", supervisor.rssBytes, supervisor.cpuMs);
  for (const [limit, value] of Object.entries(limits))
    families.gauge("fanwire_limit", "Configured limits, by key and in its unit", value, { limit });
}

function addProcess(families: Families, process: string, status: ProcessStatus<unknown>): void {
  const { state, crashes, uptimeSeconds, rssBytes = 0, cpuMs = 0, lag, utilization = 0 } = status;
  const labels = { process };
  families.gauge(
    "fanwire_process_up",
    "Whether the process serves: 1 or 0",
    Number(state === "ready"),
    labels,
  );
  families.counter("fanwire_process_crashes_total", "Ends that nobody asked for", crashes, labels);
  families.gauge("fanwire_process_uptime_seconds", "Since the process started", uptimeSeconds, labels);
  addUsage(families, process, rssBytes, cpuMs);
  const busy = "Share of the last second that the event loop worked, 0 to 1";
  families.gauge("fanwire_event_loop_utilization", busy, utilization, labels);
  const { p50Ms = 0, p99Ms = 0, maxMs = 0 } = lag ?? {};
  for (const [stat, ms] of Object.entries({ p50: p50Ms, p99: p99Ms, max: maxMs }))
    families.gauge("fanwire_event_loop_lag_seconds", "Event-loop delays of the last second", ms / 1_000, {
      ...labels,
      stat,
    });
}

function addUsage(families: Families, process: string, rssBytes: number, cpuMs: number): void {
  const labels = { process };
  families.gauge("fanwire_process_resident_bytes", "Resident memory", rssBytes, labels);
  families.counter("fanwire_process_cpu_seconds_total", "User and system CPU time", cpuMs / 1_000, labels);
}

function addWorker(families: Families, process: string, report: WorkerReport, hasHubs: boolean): void {
  const { engine, gateway, broker } = report.counters;
  families.gauge("fanwire_rooms", "Rooms open at the worker", report.rooms, { process });
  for (const [rate, live] of Object.entries(report.telemetry?.subscriptions ?? {}))
    families.gauge("fanwire_subscriptions", "Live subscriptions, by class: all, or messages a second", live, {
      process,
      class: rate,
    });
  addBroker(families, process, report.brokerAvailable);
  families.totals(process, ENGINE_NAMES, { ...engine });
  families.totals(process, GATEWAY_NAMES, { ...gateway });
  families.totals(process, hasHubs ? LINK_NAMES : BROKER_TOTALS, broker);
}

function addHub(families: Families, process: string, report: HubReport): void {
  addBroker(families, process, report.brokerAvailable);
  const { waitingBytes = 0 } = report;
  families.gauge("fanwire_backpressure_bytes", METRIC_HELP.fanwire_backpressure_bytes, waitingBytes, {
    process,
  });
  families.totals(process, HUB_NAMES, report.counters.hub);
  families.totals(process, BROKER_TOTALS, report.counters.broker);
}

function addBroker(families: Families, process: string, isAvailable: boolean): void {
  const help = "Whether the process reaches its broker: 1 or 0";
  families.gauge("fanwire_broker_available", help, Number(isAvailable), { process });
}

class Families {
  readonly #families = new Map<string, Family>();

  gauge(name: string, help: string, value: number, labels: Sample["labels"] = {}): void {
    this.#add(name, "gauge", help, labels, value);
  }

  counter(name: string, help: string, value: number, labels: Sample["labels"] = {}): void {
    this.#add(name, "counter", help, labels, value);
  }

  /** All running totals that have a name; a process of another build may have others. */
  totals(process: string, names: Readonly<Record<string, MetricName>>, totals: Totals): void {
    for (const [key, value] of Object.entries(totals)) {
      const metric = Object.hasOwn(names, key) ? names[key] : undefined;
      if (metric === undefined) continue;
      const help = (METRIC_HELP as Readonly<Record<string, string>>)[metric.name] ?? metric.name;
      this.#add(metric.name, metric.type, help, { process, ...metric.labels }, value);
    }
  }

  registry(): Registry {
    const registry = new Registry();
    for (const [name, { type, help, samples }] of this.#families) {
      const labelNames = [...new Set([...samples.values()].flatMap(({ labels }) => Object.keys(labels)))];
      const options = { name, help, labelNames, registers: [registry] };
      const metric = type === "gauge" ? new Gauge(options) : new Counter(options);
      for (const { labels, value } of samples.values()) metric.inc(labels, value);
    }
    return registry;
  }

  #add(name: string, type: Family["type"], help: string, labels: Sample["labels"], value: number): void {
    const family = this.#families.get(name) ?? { type, help, samples: new Map<string, Sample>() };
    this.#families.set(name, family);
    const key = JSON.stringify(labels);
    family.samples.set(key, { labels, value: value + (family.samples.get(key)?.value ?? 0) });
  }
}
