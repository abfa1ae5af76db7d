import { Client } from "../client/index.js";
import { Frames, part, setText } from "./dom.js";
import { formatBytes, formatMs, NONE } from "./format.js";
import { OpsApi, Refused } from "./ops-api.js";
import { OpsChart } from "./ops-charts.js";
import {
  type ProcessFacts,
  parseEvent,
  parseNode,
  parseProcess,
  parseRooms,
  parseSlow,
  parseStats,
  type Stats,
} from "./ops-data.js";
import { DrainView } from "./ops-drain.js";
import { EventsView } from "./ops-events-view.js";
import { whole0 } from "./ops-format.js";
import { History } from "./ops-history.js";
import { Inspector } from "./ops-inspector.js";
import { CHARTS } from "./ops-plans.js";
import { StatusView } from "./ops-status.js";
import { ProcessesView, RoomsView, SlowView } from "./ops-tables.js";
import { restoreTheme, Themes } from "./palette.js";

/** Ten minutes are kept; five are shown. */
const STATS_LAST = 310;
const EVENTS_LAST = 200;

restoreTheme();
const themes = new Themes();
const frames = new Frames();
const api = new OpsApi();
const history = new History();
const door = part("door", HTMLFormElement);
const doorKey = part("door-key", HTMLInputElement);

for (const plan of CHARTS) new OpsChart(plan, history, themes, frames);
const drain = new DrainView(api);
const status = new StatusView(frames, () => drain.away());
const processesView = new ProcessesView();
const slowView = new SlowView();
const events = new EventsView();
const inspector = new Inspector(api, askForKey);
const roomsView = new RoomsView((room) => inspector.open(room));

const client = new Client("ws", {
  // The admin port has no streams of events.
  transport: "websocket",
  token: async () => {
    try {
      return await api.ticket();
    } catch (cause) {
      if (cause instanceof Refused && cause.isAboutKey) askForKey(cause.message);
      throw cause;
    }
  },
  // An operator waits in front of it.
  backoffCapMs: 3_000,
});
client.on("state", (state) => {
  status.connection(state);
  if (state.kind === "open") door.hidden = true;
});

const stats = client.subscribe("node.stats", { last: STATS_LAST });
stats.on("reset", () => history.clear());
stats.on("message", ({ time, data, replayed }) => {
  const sample = parseStats(data);
  if (sample === undefined) return;
  history.add(time, sample);
  if (replayed) return;
  status.sample(time);
  showVitals(sample);
});

const happened = client.subscribe("node.events", { last: EVENTS_LAST });
happened.on("reset", () => events.clear());
happened.on("message", ({ time, data }) => {
  const event = parseEvent(data);
  if (event !== undefined) events.add(time, event);
});

const now = client.stateMap("node.now");
now.on("changes", (keys) => {
  const node = parseNode(now.get("node")?.data);
  if (keys.has("node") && node !== undefined) {
    status.node(node);
    drain.show(node);
    const max =
      node.connectionsMax === 0 ? "" : `${whole0(node.connections)} of ${whole0(node.connectionsMax)}`;
    part("vital-connections", HTMLElement).title = max;
  }
  const rooms = keys.has("rooms") ? parseRooms(now.get("rooms")?.data) : undefined;
  if (rooms !== undefined) roomsView.show(rooms);
  const slow = keys.has("slow") ? parseSlow(now.get("slow")?.data) : undefined;
  if (slow !== undefined) {
    slowView.show(slow);
    setText(part("vital-slow", HTMLElement), whole0(slow.watched));
  }
  processesView.show(processes());
});

function processes(): readonly (readonly [string, ProcessFacts])[] {
  return [...now].flatMap(([name, { data }]) => {
    const facts = /^(?:worker|hub) /.test(name) ? parseProcess(data) : undefined;
    return facts === undefined ? [] : [[name, facts] as const];
  });
}

function showVitals({ connections, received, deliveries, p99Ms, hubLagMs, hubBytes, brokerMs }: Stats): void {
  setText(part("vital-connections", HTMLElement), whole0(connections));
  setText(part("vital-received", HTMLElement), whole0(received));
  setText(part("vital-deliveries", HTMLElement), whole0(deliveries));
  setText(part("vital-p99", HTMLElement), formatMs(p99Ms));
  setText(part("vital-broker", HTMLElement), formatMs(brokerMs));
  setText(part("vital-waiting", HTMLElement), hubLagMs === undefined ? NONE : formatBytes(hubBytes));
}

function askForKey(why: string): void {
  setText(part("door-why", HTMLElement), why);
  if (!door.hidden) return;
  door.hidden = false;
  doorKey.focus();
}

door.addEventListener("submit", (event) => {
  event.preventDefault();
  api.key = doorKey.value;
  doorKey.value = "";
  door.hidden = true;
  client.connect();
});
part("theme", HTMLButtonElement).addEventListener("click", () => themes.toggle());
