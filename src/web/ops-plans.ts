import { formatMs } from "./format.js";
import type { ChartPlan, Series } from "./ops-charts.js";
import type { Stats } from "./ops-data.js";
import { short, whole0 } from "./ops-format.js";

const CPU_COLOURS = ["accent", "second", "up", "down", "muted"] as const;

const percent = (value: number): string => `${value.toFixed(0)}\u2009%`;

const msTick = (value: number): string =>
  value >= 1_000 ? `${short(value / 1_000)}\u2009s` : `${short(value)}\u2009ms`;

/** What the page draws. */
export const CHARTS: readonly ChartPlan[] = [
  {
    id: "chart-connections",
    title: "Connections",
    series: () => [{ label: "open", colour: "accent", of: ({ connections }) => connections }],
    text: whole0,
    tick: short,
    topMin: 10,
    filled: true,
  },
  {
    id: "chart-deliveries",
    title: "Deliveries a second",
    series: () => [{ label: "to sockets", colour: "accent", of: ({ deliveries }) => deliveries }],
    text: whole0,
    tick: short,
    topMin: 10,
    filled: true,
  },
  {
    id: "chart-latency",
    title: "Publish to socket",
    series: () => [
      { label: "p99", colour: "accent", of: ({ p99Ms }) => p99Ms },
      { label: "p50", colour: "second", of: ({ p50Ms }) => p50Ms },
    ],
    text: formatMs,
    tick: msTick,
    topMin: 5,
    filled: false,
  },
  {
    id: "chart-messages",
    title: "Messages a second",
    series: () => [
      { label: "to workers", colour: "accent", of: ({ received }) => received },
      { label: "published", colour: "second", of: ({ published }) => published },
    ],
    text: whole0,
    tick: short,
    topMin: 10,
    filled: true,
  },
  {
    id: "chart-loops",
    title: "Event loops and broker, p99",
    series: (stats) => [
      { label: "workers", colour: "accent", of: ({ lagMs }) => lagMs },
      ...(stats?.hubLagMs === undefined
        ? []
        : [{ label: "hubs", colour: "second", of: ({ hubLagMs }: Stats) => hubLagMs } as const]),
      { label: "broker", colour: "up", of: ({ brokerMs }) => brokerMs },
    ],
    text: formatMs,
    tick: msTick,
    topMin: 5,
    filled: false,
  },
  {
    id: "chart-cpu",
    title: "CPU of a core",
    series: cpuSeries,
    text: percent,
    tick: percent,
    topMin: 100,
    filled: false,
  },
];

/** A line for every process while they can be told apart, else the busiest and the mean. */
function cpuSeries(stats: Stats | undefined): readonly Series[] {
  const processes = stats?.cpu ?? [];
  if (processes.length <= CPU_COLOURS.length)
    return processes.map(([process], index) => ({
      label: process,
      colour: CPU_COLOURS[index] ?? "muted",
      of: ({ cpu }) => cpu.find(([name]) => name === process)?.[1],
    }));
  return [
    { label: "busiest", colour: "accent", of: ({ cpu }) => Math.max(0, ...cpu.map(([, value]) => value)) },
    { label: `mean of ${processes.length}`, colour: "second", of: ({ cpu }) => meanOf(cpu) },
  ];
}

function meanOf(cpu: Stats["cpu"]): number {
  return cpu.reduce((sum, [, value]) => sum + value, 0) / Math.max(1, cpu.length);
}
