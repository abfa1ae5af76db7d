/** Who this visitor is to the others: a name made up for the tab, and an id that names only this page view. */
export interface Visitor {
  readonly id: string;
  readonly name: string;
}

const MANNERS = [
  "Brisk",
  "Calm",
  "Clear",
  "Eager",
  "Fleet",
  "Gentle",
  "Keen",
  "Lively",
  "Merry",
  "Nimble",
  "Quiet",
  "Swift",
];
const BIRDS = [
  "Avocet",
  "Bittern",
  "Crane",
  "Dunlin",
  "Egret",
  "Finch",
  "Gannet",
  "Heron",
  "Ibis",
  "Jay",
  "Kestrel",
  "Lark",
];
const HUES = 12;

/** `storage` keeps the name over reloads of the tab; where it is forbidden the name is a new one each time. */
export function visitorOf(random: () => number, storage: Storage | undefined): Visitor {
  const pick = (list: readonly string[]): string => list[Math.floor(random() * list.length)] ?? "";
  const id = Array.from({ length: 12 }, () => Math.floor(random() * 36).toString(36)).join("");
  const kept = storage?.getItem("fanwire-name") ?? undefined;
  const name = kept ?? `${pick(MANNERS)} ${pick(BIRDS)}`;
  storage?.setItem("fanwire-name", name);
  return { id, name };
}

/** One of twelve hues in degrees, the same on every page for the same id. */
export function hueOf(id: string): number {
  let hash = 0;
  for (const letter of id) hash = (Math.imul(hash, 31) + letter.charCodeAt(0)) >>> 0;
  return (hash % HUES) * (360 / HUES);
}
