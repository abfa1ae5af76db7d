import { ERROR_STATUS } from "../protocol/errors.js";
import type { Position, Rate, ResetReason } from "../protocol/frames.js";
import { FanwireError, type FanwireErrorCode } from "./errors.js";
import type { HistoryPage, Message } from "./message.js";

/** What a server answers to a subscribe. */
export interface SubscribeAnswer extends Position {
  readonly recovered: boolean;
  readonly rate: Rate;
  readonly droppedKeys: number;
}

/** The result of a subscribe; undefined where it is none. */
export function subscribeResultOf(raw: unknown): SubscribeAnswer | undefined {
  const position = positionOf(raw);
  const rate = fieldOf(raw, "rate");
  const droppedKeys = fieldOf(raw, "droppedKeys");
  return (
    position && {
      ...position,
      recovered: fieldOf(raw, "recovered") === true,
      rate: typeof rate === "number" ? rate : "all",
      droppedKeys: typeof droppedKeys === "number" ? droppedKeys : 0,
    }
  );
}

/** What stands for a room in the answer to `subscribe many` that was refused; undefined where it was taken. */
export function answerErrorOf(raw: unknown): FanwireError | undefined {
  if (!Array.isArray(raw)) return undefined;
  const [code, text, retryMs]: unknown[] = raw;
  return new FanwireError(codeOf(code), String(text), {
    retryMs: typeof retryMs === "number" ? retryMs : undefined,
  });
}

/** A position, as the answer to a publish has it. */
export function positionOf(raw: unknown): Position | undefined {
  const epoch = fieldOf(raw, "epoch");
  const offset = fieldOf(raw, "offset");
  return typeof epoch === "string" && isOffset(offset) ? { epoch, offset } : undefined;
}

/** The answer to a history request; undefined where it is none. */
export function historyPageOf<T>(
  room: string,
  after: Position | undefined,
  raw: unknown,
): HistoryPage<T> | undefined {
  const epoch = fieldOf(raw, "epoch");
  const list = fieldOf(raw, "messages");
  if (typeof epoch !== "string" || !Array.isArray(list)) return undefined;
  const messages: Message<T>[] = [];
  for (const item of list) {
    const [offset, time, data, key]: unknown[] = Array.isArray(item) ? item : [];
    if (!isOffset(offset) || typeof time !== "number" || !isClaimed<T>(data)) return undefined;
    messages.push({
      room,
      epoch,
      offset,
      prev: messages.at(-1)?.offset ?? 0,
      time,
      data,
      key: typeof key === "string" ? key : undefined,
      replayed: true,
      reset: undefined,
    });
  }
  const last = messages.at(-1);
  return {
    messages,
    more: fieldOf(raw, "more") === true,
    position: last === undefined ? after : { epoch, offset: last.offset },
    lost: reasonOf(fieldOf(raw, "lost")),
  };
}

/** The time in the answer to a ping: milliseconds since 1970 by the server's clock. */
export function timeOf(raw: unknown): number | undefined {
  const time = fieldOf(raw, "time");
  return typeof time === "number" ? time : undefined;
}

function fieldOf(raw: unknown, name: string): unknown {
  if (typeof raw !== "object" || raw === null) return undefined;
  return Reflect.get(raw, name);
}

// The type of data is the application's claim about what publishers send; nothing here can check it.
function isClaimed<T>(_data: unknown): _data is T {
  return true;
}

function isOffset(raw: unknown): raw is number {
  return typeof raw === "number" && Number.isSafeInteger(raw) && raw >= 0;
}

function reasonOf(raw: unknown): ResetReason | undefined {
  if (raw === undefined || raw === null) return undefined;
  return raw === "expired" || raw === "purged" ? raw : "epoch";
}

// A code of a later version says nothing to this one but that the request failed.
function codeOf(raw: unknown): FanwireErrorCode {
  return typeof raw === "string" && isCode(raw) ? raw : "internal";
}

function isCode(raw: string): raw is keyof typeof ERROR_STATUS {
  return Object.hasOwn(ERROR_STATUS, raw);
}
