import { make, part, setText } from "./dom.js";
import { formatBytes, formatMs, formatShare, NONE } from "./format.js";
import type { ProcessFacts, Ranked, Slow, TopRooms } from "./ops-data.js";
import { duration, whole0 } from "./ops-format.js";

/** Rows of a table by key: made once, written where they differ. */
class Rows {
  readonly #body: HTMLElement;
  readonly #columns: number;
  readonly #rows = new Map<string, HTMLTableRowElement>();

  constructor(body: HTMLElement, columns: number) {
    this.#body = body;
    this.#columns = columns;
  }

  /** In this order; the first cell is the row's head. */
  show(rows: readonly (readonly [key: string, cells: readonly string[]])[]): void {
    const keys = new Set(rows.map(([key]) => key));
    for (const [key, row] of this.#rows) {
      if (keys.has(key)) continue;
      row.remove();
      this.#rows.delete(key);
    }
    for (const [index, [key, cells]] of rows.entries()) {
      const row = this.row(key);
      if (this.#body.children[index] !== row)
        this.#body.insertBefore(row, this.#body.children[index] ?? null);
      for (const [column, cell] of cells.entries()) {
        const place = row.children[column];
        if (place !== undefined) setText(place, cell);
      }
    }
  }

  row(key: string): HTMLTableRowElement {
    const known = this.#rows.get(key);
    if (known !== undefined) return known;
    const row = make("tr");
    const head = make("th");
    head.scope = "row";
    row.append(head, ...Array.from({ length: this.#columns - 1 }, () => make("td")));
    this.#rows.set(key, row);
    return row;
  }
}

const PROCESS_COLUMNS = 13;

export class ProcessesView {
  readonly #rows = new Rows(part("processes", HTMLElement), PROCESS_COLUMNS);
  readonly #note = part("processes-note", HTMLElement);

  show(processes: readonly (readonly [name: string, facts: ProcessFacts])[]): void {
    const sorted = [...processes].sort(([, one], [, other]) => orderOf(one) - orderOf(other));
    this.#rows.show(sorted.map(([name, facts]) => [name, cellsOf(name, facts)]));
    for (const [name, facts] of sorted) {
      const row = this.#rows.row(name);
      row.dataset.kind = kindOf(facts);
      row.classList.toggle("stale", facts.isStale);
    }
    const crashes = processes.reduce((sum, [, facts]) => sum + facts.crashes, 0);
    setText(this.#note, crashes === 0 ? "" : `${whole0(crashes)} ${crashes === 1 ? "crash" : "crashes"}`);
  }
}

function orderOf({ role, index }: ProcessFacts): number {
  return (role === "worker" ? 0 : 1_000) + index;
}

function kindOf({ state, isStale, brokerAvailable }: ProcessFacts): string {
  if (state === "ended" || isStale) return "failed";
  return state === "ready" && brokerAvailable ? "live" : "busy";
}

function stateOf({ state, isStale, brokerAvailable }: ProcessFacts): string {
  if (state === "ended") return "being restarted";
  if (isStale) return "no word of it";
  return state === "ready" && !brokerAvailable ? "broker away" : state;
}

function cellsOf(name: string, facts: ProcessFacts): readonly string[] {
  const bytes = (value: number | undefined): string => (value === undefined ? NONE : formatBytes(value));
  return [
    name,
    stateOf(facts),
    facts.cpu === undefined ? NONE : formatShare(facts.cpu / 100),
    bytes(facts.rssBytes),
    formatMs(facts.lagMs),
    whole0(facts.connections),
    whole0(facts.rooms),
    whole0(facts.received),
    whole0(facts.deliveries),
    whole0(facts.lagged),
    facts.role === "hub" ? bytes(facts.waitingBytes) : "",
    duration(facts.uptimeSeconds),
    facts.pid === undefined ? NONE : String(facts.pid),
  ];
}

const RANKS = 10;

/** The two lists of largest rooms; a click opens one in the inspector. */
export class RoomsView {
  readonly #subscribers: Ranking;
  readonly #bytes: Ranking;

  constructor(onChoose: (room: string) => void) {
    this.#subscribers = new Ranking("rooms-subscribers", whole0, "No room is open.", onChoose);
    const perSecond = (value: number): string => `${formatBytes(value)}/s`;
    this.#bytes = new Ranking("rooms-bytes", perSecond, "Nothing is sent.", onChoose);
  }

  show({ subscribers, bytes }: TopRooms): void {
    this.#subscribers.show(subscribers);
    this.#bytes.show(bytes);
  }
}

class Ranking {
  readonly #place: HTMLElement;
  readonly #text: (value: number) => string;
  readonly #nothing: string;
  readonly #entries: readonly HTMLButtonElement[];
  readonly #empty = make("p", "empty", "Measuring…");

  constructor(
    id: string,
    text: (value: number) => string,
    nothing: string,
    onChoose: (room: string) => void,
  ) {
    this.#place = part(id, HTMLElement);
    this.#text = text;
    this.#nothing = nothing;
    // All of them from the start on, so that nothing moves when they fill.
    this.#entries = Array.from({ length: RANKS }, () => {
      const entry = make("button", "rank");
      entry.type = "button";
      entry.append(make("i"), make("span"), make("b"));
      entry.hidden = true;
      entry.addEventListener("click", () => onChoose(entry.dataset.room ?? ""));
      const item = make("li");
      item.append(entry);
      this.#place.append(item);
      return entry;
    });
    this.#place.after(this.#empty);
  }

  show(ranked: readonly Ranked[] | undefined): void {
    this.#empty.hidden = (ranked?.length ?? 0) > 0;
    setText(this.#empty, ranked === undefined ? "Measuring…" : this.#nothing);
    const most = ranked?.[0]?.count ?? 1;
    for (const [index, entry] of this.#entries.entries()) {
      const { room, count } = ranked?.[index] ?? {};
      entry.hidden = room === undefined;
      if (room === undefined || count === undefined) continue;
      entry.dataset.room = room;
      entry.title = `Inspect ${room}`;
      const [bar, name, value] = [...entry.children];
      if (bar instanceof HTMLElement) bar.style.transform = `scaleX(${(count / most).toFixed(4)})`;
      if (name !== undefined) setText(name, room);
      if (value !== undefined) setText(value, this.#text(count));
    }
  }
}

const SLOW_COLUMNS = 6;
const BECAME: Readonly<Record<string, string>> = {
  behind: "behind",
  slowed: "moved to the slowest class",
  lagging: "lost its flow, resumes",
};

export class SlowView {
  readonly #rows = new Rows(part("slow", HTMLElement), SLOW_COLUMNS);
  readonly #note = part("slow-note", HTMLElement);
  readonly #empty = part("slow-empty", HTMLElement);

  show({ watched, clients }: Slow): void {
    setText(this.#note, watched === 0 ? "" : `${whole0(watched)} watched; those with most waiting`);
    this.#empty.hidden = clients.length > 0;
    this.#rows.show(
      clients.map(({ session, sub, worker, state, bufferedBytes, stillMs }) => [
        session,
        [
          session,
          sub === "" ? NONE : sub,
          String(worker),
          BECAME[state] ?? state,
          formatBytes(bufferedBytes),
          formatMs(stillMs),
        ],
      ]),
    );
  }
}
