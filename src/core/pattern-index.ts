import type { RoomName } from "../protocol/room-name.js";
import type { RoomPattern } from "../protocol/room-pattern.js";

/** One place in patterns: what is known of those that have come so far. */
class Node<T> {
  /** Patterns that end here. */
  readonly ending = new Map<RoomPattern, T>();
  /** Patterns that end with `>` after this place. */
  readonly open = new Map<RoomPattern, T>();
  any: Node<T> | undefined;
  readonly tokens = new Map<string, Node<T>>();

  get isEmpty(): boolean {
    return this.ending.size === 0 && this.open.size === 0 && this.any === undefined && this.tokens.size === 0;
  }
}

/**
 * Which of many patterns mean a room: a tree of tokens, so that it costs the room's tokens and what matches, whatever the
 * number of patterns (0.3 µs of 10,000: `npm run bench -- patterns`). Each pattern has a value of the caller's.
 */
export class PatternIndex<T> {
  readonly #root = new Node<T>();
  readonly #values = new Map<RoomPattern, T>();
  #version = 0;

  get size(): number {
    return this.#values.size;
  }

  /** Another after every change: what was found may be kept as long as it is the same. */
  get version(): number {
    return this.#version;
  }

  get(pattern: RoomPattern): T | undefined {
    return this.#values.get(pattern);
  }

  has(pattern: RoomPattern): boolean {
    return this.#values.has(pattern);
  }

  /** Of all patterns, in the order in which they came. */
  entries(): MapIterator<[RoomPattern, T]> {
    return this.#values.entries();
  }

  patterns(): MapIterator<RoomPattern> {
    return this.#values.keys();
  }

  /** Takes the place of the value that the pattern had. */
  set(pattern: RoomPattern, value: T): void {
    this.#version += 1;
    this.#values.set(pattern, value);
    let node = this.#root;
    for (const token of pattern.split(".")) {
      if (token === ">") {
        node.open.set(pattern, value);
        return;
      }
      node = childOf(node, token);
    }
    node.ending.set(pattern, value);
  }

  /** False where it was not there. */
  delete(pattern: RoomPattern): boolean {
    if (!this.#values.delete(pattern)) return false;
    this.#version += 1;
    remove(this.#root, pattern, pattern.split("."), 0);
    return true;
  }

  /** Whether any pattern means the room. */
  matches(room: RoomName): boolean {
    return this.#values.size > 0 && matchesAny(this.#root, room, 0);
  }

  /** The values of all patterns that mean the room, in no order, each once. */
  match(room: RoomName): readonly T[] {
    if (this.#values.size === 0) return NONE;
    const found: T[] = [];
    collect(this.#root, room, 0, found);
    return found;
  }
}

const NONE: readonly never[] = Object.freeze([]);

function childOf<T>(node: Node<T>, token: string): Node<T> {
  const known = token === "*" ? node.any : node.tokens.get(token);
  if (known !== undefined) return known;
  const child = new Node<T>();
  if (token === "*") node.any = child;
  else node.tokens.set(token, child);
  return child;
}

/** `at`: where the room's next token begins; one there always is. */
function collect<T>(node: Node<T>, room: string, at: number, found: T[]): void {
  for (const value of node.open.values()) found.push(value);
  const dot = room.indexOf(".", at);
  const child =
    node.tokens.size === 0 ? undefined : node.tokens.get(room.slice(at, dot < 0 ? undefined : dot));
  if (dot < 0) {
    if (child !== undefined) for (const value of child.ending.values()) found.push(value);
    if (node.any !== undefined) for (const value of node.any.ending.values()) found.push(value);
    return;
  }
  if (child !== undefined) collect(child, room, dot + 1, found);
  if (node.any !== undefined) collect(node.any, room, dot + 1, found);
}

function matchesAny<T>(node: Node<T>, room: string, at: number): boolean {
  if (node.open.size > 0) return true;
  const dot = room.indexOf(".", at);
  const child =
    node.tokens.size === 0 ? undefined : node.tokens.get(room.slice(at, dot < 0 ? undefined : dot));
  if (dot < 0) return (child?.ending.size ?? 0) > 0 || (node.any?.ending.size ?? 0) > 0;
  if (child !== undefined && matchesAny(child, room, dot + 1)) return true;
  return node.any !== undefined && matchesAny(node.any, room, dot + 1);
}

/** Empty places go with the pattern, so that patterns that come and go leave nothing behind. */
function remove<T>(node: Node<T>, pattern: RoomPattern, tokens: readonly string[], depth: number): void {
  const token = tokens[depth];
  if (token === undefined) node.ending.delete(pattern);
  else if (token === ">") node.open.delete(pattern);
  else {
    const child = token === "*" ? node.any : node.tokens.get(token);
    if (child === undefined) return;
    remove(child, pattern, tokens, depth + 1);
    if (!child.isEmpty) return;
    if (token === "*") node.any = undefined;
    else node.tokens.delete(token);
  }
}
