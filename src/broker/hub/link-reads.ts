import type { HistoryFrom, HistoryPage } from "../../core/ports.js";
import type { CodedError } from "../../protocol/errors.js";
import type { RoomName } from "../../protocol/room-name.js";
import { LastAsks } from "../last-asks.js";
import { type FoundPage, RoomAsks } from "../room-asks.js";

/** Asks the hub for one page. */
export type ReadPage = (room: RoomName, from: HistoryFrom, limit: number) => Promise<HistoryPage>;

/** Those of one room, and of one epoch, that wait for the same read. */
interface Waiting {
  readonly room: RoomName;
  readonly epoch: string | undefined;
  readonly after: RoomAsks;
  readonly last: LastAsks;
}

/**
 * A worker's reads of history, of which a storm of resumes makes thousands for each room: one at a time a room goes to the
 * hub, from the lowest position that is asked for, and serves all who had asked when it was sent. Their pages share its
 * messages, so that these come over the link and into memory once.
 */
export class LinkReads {
  readonly #read: ReadPage;
  readonly #waiting = new Map<string, Waiting>();
  #sent = 0;

  constructor(read: ReadPage) {
    this.#read = read;
  }

  /** Rooms with reads that wait or are under way. */
  get size(): number {
    return this.#waiting.size;
  }

  /** @param dueMs By the monotonic clock; for {@link LinkReads.expire}. */
  page(room: RoomName, from: HistoryFrom, limit: number, dueMs: number): Promise<HistoryPage> {
    if (from === "oldest") return this.#read(room, from, limit);
    const waiting = this.#of(room, "after" in from ? from.after.epoch : undefined);
    return new Promise((resolve, reject) => {
      // Who asks while a read is under way must not share its answer: it may be of a time before.
      const asked = { limit, version: this.#sent, dueMs, resolve, reject };
      if ("after" in from) waiting.after.add({ after: from.after.offset, ...asked });
      else waiting.last.add({ last: from.last, ...asked });
    });
  }

  /** Gives up who has waited long enough for his turn. */
  expire(nowMs: number, cause: CodedError): void {
    for (const { after, last } of this.#waiting.values()) {
      after.expire(nowMs, cause);
      last.expire(nowMs, cause);
    }
  }

  /** The link is lost. */
  down(cause: CodedError): void {
    for (const { after, last } of this.#waiting.values()) {
      after.fail(cause);
      last.fail(cause);
    }
  }

  #of(room: RoomName, epoch: string | undefined): Waiting {
    const key = epoch === undefined ? room : `${room} ${epoch}`;
    const known = this.#waiting.get(key);
    if (known !== undefined) return known;
    const waiting: Waiting = { room, epoch, after: new RoomAsks(), last: new LastAsks() };
    this.#waiting.set(key, waiting);
    // What is asked in the same turn of the loop goes together.
    setImmediate(() => void this.#serve(key, waiting));
    return waiting;
  }

  async #serve(key: string, waiting: Waiting): Promise<void> {
    const { after, last } = waiting;
    while (after.size + last.size > 0) {
      try {
        if (after.size > 0) await this.#readAfter(waiting);
        else await this.#readLast(waiting);
      } catch (cause) {
        after.fail(cause);
        last.fail(cause);
      }
    }
    this.#waiting.delete(key);
  }

  async #readAfter({ room, epoch = "", after }: Waiting): Promise<void> {
    const version = this.#sent;
    this.#sent += 1;
    const { start, limit } = after;
    const page = await this.#read(room, { after: { epoch, offset: start } }, limit);
    if (page.kind === "lost") after.lose(start, page.reason, page.head);
    else after.serve(foundOf(page, start), version);
  }

  async #readLast({ room, last }: Waiting): Promise<void> {
    const version = this.#sent;
    this.#sent += 1;
    const { wanted } = last;
    const page = await this.#read(room, { last: wanted.last }, wanted.limit);
    if (page.kind === "lost") last.lose(page);
    else last.serve(foundOf(page, 0), wanted.last, version);
  }
}

function foundOf({ messages, more, head }: HistoryPage & { readonly kind: "page" }, from: number): FoundPage {
  const reached = messages.at(-1)?.offset ?? from;
  return { from, messages, more, upTo: more ? reached : Math.max(reached, head.offset), head };
}
