import type { Message } from "../client/index.js";
import { readBack } from "./backfill.js";
import { Board } from "./board.js";
import { BoardView } from "./board-view.js";
import { ChartView } from "./chart-view.js";
import { Cursors } from "./cursors.js";
import { CursorsView, publishPointer } from "./cursors-view.js";
import { Frames, part, setText } from "./dom.js";
import { HOST_PANELS } from "./host.js";
import { HostView } from "./host-view.js";
import { describeResume } from "./ledger.js";
import { LineView } from "./line-view.js";
import { Nodes } from "./nodes.js";
import { NodesView } from "./nodes-view.js";
import { PaceView } from "./pace-view.js";
import { restoreTheme, storage, Themes } from "./palette.js";
import { parseNode, parsePointer, parseQuote } from "./parse.js";
import { Station } from "./station.js";
import { visitorOf } from "./visitor.js";

const MARKET = "market.fx";
const CURSORS = "cursors.lobby";
const NODES = "host.nodes";
const FIRST_PAIR = "EURUSD";
/** Half a minute of telemetry to begin with. */
const HOST_LAST = 300;

restoreTheme();
const themes = new Themes();
const frames = new Frames();
const visitor = visitorOf(
  Math.random,
  storage(() => sessionStorage),
);
const station = new Station("/ws", {
  state(state) {
    if (state.kind === "open") {
      line.tell(`connected to ${state.node}`);
      nodes.connected(state.node);
      nodesView.show();
    }
    if (state.kind === "closed") line.tell(`closed for good: ${state.code} ${state.reason}`, "bad");
  },
  back(resumes, awayMs) {
    const lost = resumes.some((resume) => resume.kind === "lost");
    const missing = resumes.some((resume) => resume.kind === "resumed" && resume.missing > 0);
    if (lost) host.gap();
    const away = awayMs > 0 ? `back after ${(awayMs / 1_000).toFixed(1)} s: ` : "";
    line.tell(`${away}${describeResume(resumes, MARKET)}`, lost || missing ? "bad" : "good");
  },
  refused: (room, error) => line.tell(`${room}: ${error.code} ${error.message}`, "bad"),
});

// First of all views: it reads the layout, which is free only before the others write.
const cursors = new Cursors();
new CursorsView(cursors, frames);
const board = new Board();
const chart = new ChartView(themes, frames);
const boardView = new BoardView(board, themes, frames, (row) => chart.show(row));
const host = new HostView(themes, frames);
const line = new LineView(station, themes, frames);
const nodes = new Nodes();
const nodesView = new NodesView(nodes);

const market = station.follow(MARKET, { state: true }, ({ key, data }) => {
  const quote = parseQuote(data);
  if (key === undefined || quote === undefined) return;
  const row = board.apply(key, quote);
  // The first pair of all, so that something is shown; then the one that everybody knows.
  if (row?.updates === 1 && (board.size === 1 || key === FIRST_PAIR)) boardView.select(key);
});
new PaceView(station, market, frames);
for (const { room } of HOST_PANELS) {
  station.follow(room, { last: HOST_LAST }, ({ key, data }) => host.apply(room, key ?? "", data));
}
station.follow(CURSORS, { echo: false }, ({ key, data }) => {
  const pointer = parsePointer(data);
  if (key !== undefined && pointer !== undefined) cursors.apply(key, pointer, performance.now());
});

// Not followed: it is no part of the show, and says the same again and again.
station.client.subscribe(NODES, { state: true }).on("message", ({ key, data }) => {
  const node = parseNode(data);
  if (key === undefined || node === undefined) return;
  nodes.apply(key, node);
  nodesView.show();
});

// Once: later breaks are made whole by the client, and after a reset there is no past to read.
const offLive = market.subscription.on("live", (position) => {
  offLive();
  if (position === undefined) return;
  const { epoch } = position;
  const wanted = (): boolean => market.ledger.position.epoch === epoch;
  readBack(station.client, MARKET, position, applyPast, wanted).catch((cause: unknown) => {
    line.tell(`the past could not be read: ${cause instanceof Error ? cause.message : String(cause)}`, "bad");
  });
});

function applyPast({ key, data }: Message): void {
  const quote = parseQuote(data);
  if (key !== undefined && quote !== undefined) board.applyPast(key, quote);
}

setText(part("visitor-name", HTMLElement), visitor.name);
publishPointer(visitor, (pointer) => {
  // A pointer is worth nothing later: it must not wait for a connection.
  if (station.client.state.kind !== "open") return;
  station.client.publish(CURSORS, pointer, { key: visitor.id }).catch((cause: unknown) => {
    if (station.client.state.kind === "open") line.tell(`pointer not published: ${String(cause)}`, "bad");
  });
});

part("theme", HTMLButtonElement).addEventListener("click", () => themes.toggle());
addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  boardView.focusFilter();
});
