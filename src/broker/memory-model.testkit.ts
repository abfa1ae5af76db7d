import { LOG_MESSAGE_OVERHEAD_BYTES, LOG_OVERHEAD_BYTES } from "../core/log-chunks.js";
import type { HistoryFrom } from "../core/ports.js";
import type { SettingsOf } from "../core/settings.js";
import type { Position } from "../protocol/frames.js";
import { createMessage } from "../protocol/message.js";
import { namespaceOf, type RoomName } from "../protocol/room-name.js";
import { matchesRoom, type RoomPattern } from "../protocol/room-pattern.js";
import { conformanceSettings } from "./conformance.testkit.js";
import { HISTORY_SHARE, ID_WINDOW_MS, STATE_OVERHEAD_BYTES } from "./memory-limits.js";

/** So small that every one of them is met. */
export const MODEL_LIMITS = { bytes: 12_000, rooms: 5, keysPerRoom: 3, ids: 4, patterns: 2 };
const HISTORY_BYTES = MODEL_LIMITS.bytes * HISTORY_SHARE;
const KEY_SECONDS = 400;

export const modelSettings: SettingsOf = (room) => {
  const settings = conformanceSettings(room);
  return settings.state ? { ...settings, stateSeconds: KEY_SECONDS } : settings;
};

export const EPHEMERAL: Position = { epoch: "", offset: 0 };

interface Kept {
  readonly room: ModelRoom;
  readonly offset: number;
  readonly time: number;
  readonly key: string | undefined;
  /** Null takes its key out. */
  readonly value: number | null;
  readonly bytes: number;
}

interface ModelRoom {
  readonly name: RoomName;
  readonly epoch: string;
  head: number;
  droppedKeys: number;
}

/** The memory broker as one would explain it: plain arrays, oldest first, searched from end to end. */
export class MemoryModel {
  nowMs = 1_000_000;
  rooms: ModelRoom[] = []; // the least recently used first
  history: Kept[] = [];
  state: Kept[] = [];
  ids: { room: RoomName; id: string; position: Position; time: number }[] = [];
  readonly open = new Map<RoomName, (number | null)[]>();
  readonly watched = new Set<RoomPattern>();
  /** What the watcher was handed. */
  readonly seen: [RoomName, number | null][] = [];
  #forgotten = 0;

  get epoch(): string {
    return this.#forgotten === 0 ? "run" : `run.${this.#forgotten.toString(36)}`;
  }

  get bytes(): number {
    return historyBytes(this.history) + stateBytes(this.state);
  }

  /** Known rooms and their place among the recently used. */
  use(name: RoomName): ModelRoom | undefined {
    const room = this.rooms.find((other) => other.name === name);
    if (room !== undefined) this.rooms = [...this.rooms.filter((other) => other !== room), room];
    return room;
  }

  /** False where every room is open. */
  makeRoom(): boolean {
    const ephemerals = [...this.open.keys()].filter((name) => namespaceOf(name) === "eph").length;
    if (this.rooms.length + ephemerals < MODEL_LIMITS.rooms) return true;
    const oldest = this.rooms.find(({ name }) => !this.open.has(name));
    if (oldest === undefined) return false;
    this.rooms = this.rooms.filter((room) => room !== oldest);
    this.history = this.history.filter(({ room }) => room !== oldest);
    this.state = this.state.filter(({ room }) => room !== oldest);
    this.#forgotten += 1;
    return true;
  }

  create(name: RoomName): ModelRoom | undefined {
    if (!this.makeRoom()) return undefined;
    const room = { name, epoch: this.epoch, head: 0, droppedKeys: 0 };
    this.rooms.push(room);
    return room;
  }

  /** The position, or undefined where it is refused. */
  publish(
    name: RoomName,
    value: number | null,
    data: Uint8Array,
    key?: string,
    id?: string,
  ): Position | undefined {
    if (namespaceOf(name) === "eph") {
      this.#deliver(name, value);
      return EPHEMERAL;
    }
    this.ids = this.ids.filter(({ time }) => this.nowMs - time < ID_WINDOW_MS);
    const known = this.ids.find((entry) => entry.room === name && entry.id === id);
    if (known !== undefined) return known.position;
    const room = this.use(name) ?? this.create(name);
    if (room === undefined) return undefined;
    this.expireKeys(room);
    room.head += 1;
    const numbers = { offset: room.head, prev: room.head - 1, time: this.nowMs };
    const bytes = createMessage({ room: name, data, key, ...numbers }).frame.byteLength;
    this.#keep({ room, key, value, bytes, offset: room.head, time: this.nowMs });
    const position = { epoch: room.epoch, offset: room.head };
    if (id !== undefined)
      this.ids = [...this.ids, { room: name, id, position, time: this.nowMs }].slice(-MODEL_LIMITS.ids);
    this.#deliver(name, value);
    return position;
  }

  #deliver(name: RoomName, value: number | null): void {
    const open = this.open.get(name);
    if (open !== undefined) open.push(value);
    else if ([...this.watched].some((pattern) => matchesRoom(pattern, name))) this.seen.push([name, value]);
  }

  #keep(kept: Kept): void {
    const { history, state } = modelSettings(kept.room.name);
    if (history.messages > 0) this.history.push(kept);
    const own = this.history.filter(({ room }) => room === kept.room);
    const surplus = own.slice(0, Math.max(0, own.length - history.messages));
    this.history = this.history.filter((other) => !surplus.includes(other));
    while (historyBytes(this.history) > HISTORY_BYTES) this.history.shift();
    if (!state || kept.key === undefined) return;
    this.state = this.state.filter(({ room, key }) => room !== kept.room || key !== kept.key);
    if (kept.value === null) return;
    const keys = this.state.filter(({ room }) => room === kept.room);
    if (keys.length === MODEL_LIMITS.keysPerRoom) this.#dropKey(keys[0]);
    this.state.push(kept);
    while (stateBytes(this.state) > MODEL_LIMITS.bytes - HISTORY_BYTES) this.#dropKey(this.state[0]);
  }

  #dropKey(kept: Kept | undefined): void {
    if (kept === undefined) return;
    this.state = this.state.filter((other) => other !== kept);
    kept.room.droppedKeys += 1;
  }

  expire(): void {
    this.history = this.history.filter(
      ({ room, time }) => this.nowMs - time < modelSettings(room.name).history.seconds * 1_000,
    );
  }

  /** A room's own, when something is asked of it; until then they count. */
  expireKeys(room: ModelRoom | undefined): void {
    this.state = this.state.filter(
      (kept) => kept.room !== room || this.nowMs - kept.time <= KEY_SECONDS * 1_000,
    );
  }

  headOf(name: RoomName): Position {
    if (namespaceOf(name) === "eph") return EPHEMERAL;
    const room = this.rooms.find((other) => other.name === name);
    return { epoch: room?.epoch ?? this.epoch, offset: room?.head ?? 0 };
  }

  read(name: RoomName, from: HistoryFrom, limit: number): unknown {
    const room = this.use(name);
    const head = this.headOf(name);
    this.expire();
    this.expireKeys(room);
    let kept = this.history.filter((other) => other.room === room);
    if (from !== "oldest" && "after" in from) {
      const { epoch, offset } = from.after;
      if (epoch !== head.epoch || offset > head.offset) return { kind: "lost", reason: "epoch", head };
      const following = kept.filter((other) => other.offset > offset);
      if (following.length < head.offset - offset) return { kind: "lost", reason: "expired", head };
      kept = following;
    } else if (from !== "oldest") kept = from.last === 0 ? [] : kept.slice(-from.last);
    return {
      kind: "page",
      messages: kept.slice(0, limit).map(shown),
      more: kept.length > limit,
      head,
    };
  }

  snapshot(name: RoomName): unknown {
    const room = this.use(name);
    this.expireKeys(room);
    const messages = this.state.filter((kept) => kept.room === room).map(shown);
    return { head: this.headOf(name), messages, droppedKeys: room?.droppedKeys ?? 0 };
  }
}

function historyBytes(kept: readonly Kept[]): number {
  const rooms = new Set(kept.map(({ room }) => room)).size;
  return (
    rooms * LOG_OVERHEAD_BYTES + kept.reduce((sum, { bytes }) => sum + bytes + LOG_MESSAGE_OVERHEAD_BYTES, 0)
  );
}

function stateBytes(kept: readonly Kept[]): number {
  return kept.reduce((sum, { bytes }) => sum + bytes + STATE_OVERHEAD_BYTES, 0);
}

function shown({ offset, time, key, value }: Kept): unknown {
  return { offset, time, key, value };
}
