import { createElement, Fragment, memo, type ReactNode, StrictMode } from "react";
import { createRoot, type Root } from "react-dom/client";
import { Client } from "../client/client.js";
import {
  FanwireProvider,
  type StateOptions,
  useClient,
  useConnection,
  useKey,
  useKeyedState,
  usePresence,
  useRoom,
} from "./index.js";

/**
 * The pages of the tests, driven from outside through `globalThis.app`. Bundled by the test; what it counts it counts in
 * the page.
 */
const counts = { cellRenders: 0, boardRenders: 0, gridRenders: 0, chatRenders: 0, frames: 0 };
const client = new Client("/ws");
let root: Root | undefined;

const Cell = memo(({ symbol }: { readonly symbol: string }): ReactNode => {
  counts.cellRenders += 1;
  const quote = useKey<number>("board.quotes", symbol, ALL);
  return createElement("td", { id: `cell-${symbol}` }, quote?.data ?? "–");
});

const ALL: StateOptions = {};

function Board({ symbols }: { readonly symbols: readonly string[] }): ReactNode {
  counts.boardRenders += 1;
  const cells = symbols.map((symbol) => createElement(Cell, { key: symbol, symbol }));
  return createElement("table", {}, createElement("tbody", {}, createElement("tr", {}, cells)));
}

const Square = memo(({ symbol, value }: { readonly symbol: string; readonly value: number | undefined }) =>
  createElement("td", { id: `cell-${symbol}` }, value ?? "–"),
);

/** A board that is one component: every change of any key renders it. */
function Grid({ symbols }: { readonly symbols: readonly string[] }): ReactNode {
  counts.gridRenders += 1;
  const { values } = useKeyedState<number>("board.quotes");
  const squares = symbols.map((symbol) =>
    createElement(Square, { key: symbol, symbol, value: values.get(symbol)?.data }),
  );
  return createElement("table", {}, createElement("tbody", {}, createElement("tr", {}, squares)));
}

function Total(): ReactNode {
  const { values, state } = useKeyedState<number>("board.quotes");
  return createElement("p", { id: "total" }, `${state.kind} ${values.size}`);
}

function Chat({ room, last }: { readonly room: string; readonly last: number }): ReactNode {
  counts.chatRenders += 1;
  const { messages, state, error, reset } = useRoom<number>(room, { last, keep: 20 });
  const texts = messages.map(({ data }) => data).join(",");
  return createElement(
    Fragment,
    {},
    createElement("p", { className: "chat" }, texts),
    createElement("p", { className: "state" }, `${state.kind} ${error?.code ?? ""} ${reset?.reason ?? ""}`),
  );
}

function People(): ReactNode {
  return createElement("p", { id: "people" }, String(usePresence("hall.a")?.count ?? "unknown"));
}

function Link(): ReactNode {
  const { state } = useConnection();
  return createElement("p", { id: "link" }, state.kind);
}

/** What a visitor of a page that makes its own client sees. */
function Own(): ReactNode {
  const own = useClient();
  return createElement(Fragment, {}, createElement(Link), own === undefined ? "none" : "some");
}

function show(what: ReactNode): void {
  root ??= createRoot(document.getElementById("root") ?? document.body);
  root.render(createElement(StrictMode, {}, what));
}

const provided = (...children: ReactNode[]): ReactNode =>
  createElement(FanwireProvider, { client }, ...children);

Object.assign(globalThis, {
  app: {
    counts,
    client,
    board: (symbols: readonly string[]) =>
      show(provided(createElement(Board, { symbols }), createElement(Total))),
    grid: (symbols: readonly string[]) =>
      show(provided(createElement(Grid, { symbols }), createElement(Total))),
    chats: (rooms: readonly (readonly [string, number])[]) =>
      show(
        provided(
          createElement(Link),
          ...rooms.map(([room, last], index) => createElement(Chat, { key: index, room, last })),
        ),
      ),
    people: () => show(provided(createElement(People))),
    own: (url: string) => show(createElement(FanwireProvider, { url }, createElement(Own))),
    nothing: () => show(undefined),
    /** Mounts and unmounts a page with all hooks, each in a turn of its own. */
    async mounts(times: number) {
      for (let time = 0; time < times; time += 1) {
        show(
          provided(
            createElement(Link),
            createElement(Total),
            createElement(Chat, { room: "chat.a", last: 5 }),
          ),
        );
        await turn();
        show(undefined);
        await turn();
      }
    },
  },
});

/** React has rendered, and what waited for the turn's end has run. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5));
}

function countFrames(): void {
  counts.frames += 1;
  requestAnimationFrame(countFrames);
}
requestAnimationFrame(countFrames);
