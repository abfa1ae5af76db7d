import { CodedError } from "../protocol/errors.js";
import type { Position, Rate, SubscribeOptions } from "../protocol/frames.js";
import type { Counters } from "./counters.js";
import type { HistoryReader } from "./history-reader.js";
import type { Limits } from "./limits.js";
import { latestOfEach } from "./newest.js";
import type { HistoryPage } from "./ports.js";
import type { Room } from "./room.js";
import { type RoomSettings, rateOf } from "./settings.js";
import type { Start } from "./subscription.js";

/** Refuses options that this room or this server does not offer. @throws CodedError `bad_request`. */
export function checkOptions(
  options: SubscribeOptions,
  settings: RoomSettings,
  limits: Limits,
  counters: Counters,
): void {
  const { after, last, state, rate, members, info } = options;
  if (rate !== undefined && !settings.rates.includes(rateOf(settings, rate))) {
    counters.ratesRefused += 1;
    throw refuse(
      `rate: ${rate} is not among those that the room's namespace allows: ${settings.rates.join(", ")}`,
    );
  }
  if (members === true && settings.presence === "off")
    throw refuse("members: the room's namespace has no presence");
  if (info !== undefined && settings.presence !== "members")
    throw refuse("info: the room's namespace does not list members");
  if (settings.ephemeral && (after !== undefined || last !== undefined || state === true)) {
    throw refuse("after, last and state: the room is ephemeral and keeps nothing");
  }
  if (state === true && !settings.state) throw refuse("state: the room's namespace keeps no state");
  if (last !== undefined && last > limits.historyMessages) {
    throw refuse(`last: ${last} is above ${limits.historyMessages}, the most this server gives at once`);
  }
}

/** Where a subscription begins. At once where the ring serves it, else after one read at the broker. */
export function resolveStart(
  room: Room,
  options: SubscribeOptions,
  rate: Rate,
  reader: HistoryReader,
): Start | Promise<Start> {
  const { after, last, state } = options;
  if (after !== undefined) return resume(room, after, rate, reader);
  if (last !== undefined) return rewind(room, last, rate, reader);
  if (state === true) return snapshot(room, reader);
  return atHead(room);
}

function resume(room: Room, after: Position, rate: Rate, reader: HistoryReader): Start | Promise<Start> {
  const { counters } = room;
  if (after.epoch !== room.head.epoch) {
    counters.epochResumes += 1;
    return atHead(room);
  }
  if (after.offset <= room.head.offset && room.ring.covers(after.offset)) {
    counters.ringResumes += 1;
    return recovered(room, after);
  }
  const read = rate === "all" ? reader.after(room.name, after) : reader.changes(room.name, after);
  return read.then(
    (page) => {
      const isRecovered = page.kind !== "lost" && after.epoch === room.head.epoch;
      counters[isRecovered ? "historyResumes" : "expiredResumes"] += 1;
      if (!isRecovered) return atHead(room);
      const fetched = { messages: page.messages, upTo: lastOffset(page, after.offset) };
      return { ...recovered(room, after), fetched };
    },
    (cause: unknown) => {
      counters.failedResumes += 1;
      throw cause;
    },
  );
}

function rewind(room: Room, last: number, rate: Rate, reader: HistoryReader): Start | Promise<Start> {
  if (last === 0) return atHead(room);
  const first = room.ring.size >= last ? room.ring.at(room.ring.size - last) : undefined;
  if (first !== undefined) return from(room, { epoch: room.head.epoch, offset: first.prev });
  return reader.last(room.name, last).then((page) => {
    if (page.kind === "lost") return atHead(room);
    const offset = page.messages[0]?.prev ?? page.head.offset;
    const messages = rate === "all" ? page.messages : latestOfEach(page.messages);
    const fetched = { messages, upTo: lastOffset(page, offset) };
    return { ...from(room, { epoch: page.head.epoch, offset }), fetched };
  });
}

function snapshot(room: Room, reader: HistoryReader): Promise<Start> {
  return reader.state(room.name).then(({ head, messages, droppedKeys }) => ({
    result: { epoch: head.epoch, offset: 0, recovered: false, ...(droppedKeys > 0 ? { droppedKeys } : {}) },
    cursor: 0,
    fetched: { messages, upTo: head.offset },
    resets: resetsAt(room, head),
  }));
}

/** Whether only what comes from now on is wanted. */
export function isFresh({ after, last, state }: SubscribeOptions): boolean {
  return after === undefined && (last === undefined || last === 0) && state !== true;
}

/** What comes from now on. */
export function atHead(room: Room): Start {
  return from(room, room.head);
}

function recovered(room: Room, after: Position): Start {
  return { ...from(room, after), result: { epoch: after.epoch, offset: after.offset, recovered: true } };
}

function from(room: Room, position: Position): Start {
  return {
    result: { epoch: position.epoch, offset: position.offset, recovered: false },
    cursor: position.offset,
    fetched: undefined,
    resets: resetsAt(room, position),
  };
}

/** A position of another epoch than the room's is void from the start: no count of resets equals -1. */
function resetsAt(room: Room, position: Position): number {
  return position.epoch === room.head.epoch ? room.resets : -1;
}

/** Offset up to which the page is complete: of its last message, or where that is all, of the room's head. */
export function lastOffset({ messages, more, head }: HistoryPage & { kind: "page" }, from: number): number {
  const last = messages[messages.length - 1]?.offset ?? from;
  return more ? last : Math.max(last, head.offset);
}

function refuse(text: string): CodedError {
  return new CodedError("bad_request", text);
}
