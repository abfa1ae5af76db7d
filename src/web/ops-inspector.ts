import { make, part, setText } from "./dom.js";
import { NONE } from "./format.js";
import { type OpsApi, Refused } from "./ops-api.js";
import { fieldsOf, listOf, numberOf, textOf } from "./ops-data.js";
import { clockOf, whole0 } from "./ops-format.js";

type Tab = "messages" | "state";

/** Messages, or keys of a state. */
const LISTED = 50;
/** A message is read, not downloaded: more of it is cut. */
const DATA_CHARACTERS = 2_000;

interface NodeOfRoom {
  readonly node: string;
  /** Undefined: it did not answer. */
  readonly subscribers: number | undefined;
  readonly every: number;
  readonly paced: number;
  readonly silentWorkers: number;
}

interface WorkerOfRoom {
  readonly worker: number;
  readonly isOpen: boolean;
  readonly isSilent: boolean;
  readonly subscribers: number;
  readonly every: number;
  readonly paced: number;
  readonly ring: number;
  readonly epoch: string;
  readonly offset: number;
}

/** One room, as it was when it was asked for. */
export class Inspector {
  readonly #api: OpsApi;
  readonly #needKey: (why: string) => void;
  readonly #field = part("room", HTMLInputElement);
  readonly #note = part("inspect-note", HTMLElement);
  readonly #result = part("inspected", HTMLElement);
  readonly #list = part("inspected-list", HTMLElement);
  readonly #listNote = part("inspected-note", HTMLElement);
  readonly #tabs: Readonly<Record<Tab, HTMLElement>> = {
    messages: part("tab-messages", HTMLElement),
    state: part("tab-state", HTMLElement),
  };
  #room = "";
  #tab: Tab = "messages";
  /** Answers that come after a later question are nobody's. */
  #turn = 0;

  constructor(api: OpsApi, needKey: (why: string) => void) {
    this.#api = api;
    this.#needKey = needKey;
    part("inspect", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.open(this.#field.value.trim());
    });
    for (const tab of ["messages", "state"] as const)
      this.#tabs[tab].addEventListener("click", () => this.#choose(tab));
  }

  open(room: string): void {
    if (room === "") return;
    this.#field.value = room;
    this.#room = room;
    this.#turn += 1;
    setText(this.#note, `Looking for ${room}…`);
    void this.#load(this.#turn);
  }

  #choose(tab: Tab): void {
    this.#tab = tab;
    for (const [name, button] of Object.entries(this.#tabs))
      button.setAttribute("aria-selected", String(name === tab));
    this.#list.setAttribute("aria-labelledby", `tab-${tab}`);
    void this.#loadList(this.#turn);
  }

  get #path(): string {
    return `v1/ops/rooms/${encodeURIComponent(this.#room)}`;
  }

  async #load(turn: number): Promise<void> {
    try {
      const answer = fieldsOf(await this.#api.get(this.#path));
      if (turn !== this.#turn) return;
      const nodes = listOf(answer?.nodes, nodeOf);
      this.#show(listOf(answer?.workers, workerOf), nodes);
      setText(this.#note, `As of ${clockOf(Date.now())}, ${whereOf(nodes, textOf(answer?.problem))}.`);
      await this.#loadList(turn);
    } catch (cause) {
      if (turn !== this.#turn) return;
      this.#result.hidden = true;
      this.#fail(this.#note, cause);
    }
  }

  #show(workers: readonly WorkerOfRoom[], nodes: readonly NodeOfRoom[]): void {
    const open = workers.find(({ isOpen }) => isOpen);
    this.#result.hidden = false;
    const subscribers = whole0(nodes.reduce((sum, node) => sum + (node.subscribers ?? 0), 0));
    const isWhole = nodes.every((node) => node.subscribers !== undefined && node.silentWorkers === 0);
    setText(part("inspected-subscribers", HTMLElement), isWhole ? subscribers : `≥ ${subscribers}`);
    setText(part("inspected-offset", HTMLElement), open === undefined ? NONE : whole0(open.offset));
    setText(
      part("inspected-epoch", HTMLElement),
      open === undefined || open.epoch === "" ? NONE : open.epoch,
    );
    const [here, ...others] = nodes;
    part("inspected-workers", HTMLElement).replaceChildren(
      // Of a node that is alone the workers say it all.
      ...(here === undefined || others.length === 0 ? [] : [rowOfNode(here)]),
      ...workers.map(rowOfWorker),
      ...others.map(rowOfNode),
    );
  }

  async #loadList(turn: number): Promise<void> {
    const tab = this.#tab;
    try {
      const answer = fieldsOf(await this.#api.get(`${this.#path}/${tab}?last=${LISTED}`));
      if (turn !== this.#turn || tab !== this.#tab) return;
      const items = listOf(answer?.messages, itemOf);
      this.#list.replaceChildren(...(tab === "messages" ? [...items].reverse() : items));
      setText(this.#listNote, noteOf(tab, items.length, answer?.more === true));
    } catch (cause) {
      if (turn !== this.#turn || tab !== this.#tab) return;
      this.#list.replaceChildren();
      this.#fail(this.#listNote, cause);
    }
  }

  #fail(place: HTMLElement, cause: unknown): void {
    setText(place, cause instanceof Error ? cause.message : String(cause));
    if (cause instanceof Refused && cause.isAboutKey) this.#needKey(cause.message);
  }
}

function rowOfWorker({
  worker,
  isOpen,
  isSilent,
  subscribers,
  every,
  paced,
  ring,
}: WorkerOfRoom): HTMLElement {
  const text = isSilent ? "no answer" : "not open";
  const cells = isOpen ? [subscribers, every, paced, ring].map(whole0) : [text, "", "", ""];
  return rowOf("a-worker", `worker ${worker}`, cells);
}

function rowOfNode({ node, subscribers, every, paced, silentWorkers }: NodeOfRoom): HTMLElement {
  if (subscribers === undefined) return rowOf("a-node", node, ["no answer", "", "", ""]);
  const sum = silentWorkers === 0 ? whole0(subscribers) : `≥ ${whole0(subscribers)}`;
  return rowOf("a-node", node, [sum, whole0(every), whole0(paced), ""]);
}

function rowOf(className: string, name: string, cells: readonly string[]): HTMLElement {
  const row = make("tr", className);
  const head = make("th", "", name);
  head.scope = "row";
  row.append(head, ...cells.map((cell) => make("td", "", cell)));
  return row;
}

/** Where that was found, and what is missing of it. */
function whereOf([, ...others]: readonly NodeOfRoom[], problem: string): string {
  const missing = others.filter(({ subscribers }) => subscribers === undefined).map(({ node }) => node);
  const answered = others.length - missing.length;
  const parts = [
    others.length === 0 ? "on this node" : `on this node and ${answered} other${answered === 1 ? "" : "s"}`,
    ...(missing.length === 0 ? [] : [`no answer of ${missing.join(", ")}`]),
    ...(problem === "" ? [] : [problem]),
  ];
  return parts.join("; ");
}

function noteOf(tab: Tab, items: number, isMore: boolean): string {
  if (tab === "messages") return items === 0 ? "No messages are kept." : `The last ${items}, newest first.`;
  if (items === 0) return "The state is empty.";
  return isMore ? `${items} keys, those updated longest ago; there are more.` : `All ${items} keys.`;
}

function nodeOf(data: unknown): NodeOfRoom | undefined {
  const fields = fieldsOf(data);
  return (
    fields && {
      node: textOf(fields.node),
      subscribers: numberOf(fields.subscribers),
      every: numberOf(fields.every) ?? 0,
      paced: numberOf(fields.paced) ?? 0,
      silentWorkers: numberOf(fields.silentWorkers) ?? 0,
    }
  );
}

function workerOf(data: unknown): WorkerOfRoom | undefined {
  const fields = fieldsOf(data);
  if (fields === undefined) return undefined;
  const classes = listOf(fields.classes, (item) => {
    const one = fieldsOf(item);
    return one && { rate: one.rate, members: numberOf(one.members) ?? 0 };
  });
  const members = (isEvery: boolean): number =>
    classes.reduce((sum, one) => sum + ((one.rate === "all") === isEvery ? one.members : 0), 0);
  const head = fieldsOf(fields.head);
  return {
    worker: numberOf(fields.worker) ?? 0,
    isOpen: fields.open === true,
    isSilent: fields.silent === true,
    subscribers: numberOf(fields.subscribers) ?? 0,
    every: members(true),
    paced: members(false),
    ring: numberOf(fields.ringMessages) ?? 0,
    epoch: textOf(head?.epoch),
    offset: numberOf(head?.offset) ?? 0,
  };
}

/** `[offset, time, data, key?]` or an object of those, as the HTTP API answers. */
function itemOf(data: unknown): HTMLLIElement | undefined {
  const fields = Array.isArray(data)
    ? { offset: data[0], time: data[1], data: data[2], key: data[3] }
    : fieldsOf(data);
  if (fields === undefined) return undefined;
  const item = make("li");
  const head = make("p");
  head.append(make("b", "", whole0(numberOf(fields.offset))));
  const time = numberOf(fields.time);
  if (time !== undefined) head.append(make("time", "", clockOf(time)));
  const key = textOf(fields.key);
  if (key !== "") head.append(make("code", "", key));
  item.append(head, make("pre", "", cut(JSON.stringify(fields.data) ?? "")));
  return item;
}

function cut(text: string): string {
  return text.length <= DATA_CHARACTERS
    ? text
    : `${text.slice(0, DATA_CHARACTERS)}… (${whole0(text.length)} characters)`;
}
