import type { RoomList } from "../../core/ports.js";
import { RoomPage, type RoomQuery } from "../../core/room-list.js";
import { CodedError } from "../../protocol/errors.js";
import type { RoomName } from "../../protocol/room-name.js";
import { LISTS_MAX } from "../room-lists.js";
import { Gate } from "./gate.js";
import { insist, type JsApi, numberOf, objectOf } from "./js-api.js";
import { idOf, placeOf, type StreamPlan } from "./stream-plan.js";
import type { Stream, Streams } from "./streams.js";
import { decodeRoom, encodeRoom, tokensOf } from "./subjects.js";

/** Subjects gone through for a list: rooms, or keys of rooms. As many rooms as one memory broker knows; some 10 MB of JSON. */
const CATALOG_SUBJECTS_MAX = 200_000;
/** Streams asked at once: each answer may be megabytes. */
const STREAMS_AT_ONCE = 4;
const RETRY_MS = 500;

export interface CatalogTools {
  readonly plan: StreamPlan;
  readonly streams: Streams;
  /** Not the connection of the live flow: answers may be large. */
  readonly api: Pick<JsApi, "call">;
  /** Each stream has to answer within this. */
  readonly readMs: number;
  readonly onRefused: () => void;
  /** {@link CATALOG_SUBJECTS_MAX} by default. */
  readonly subjectsMax?: number;
}

interface Ask {
  readonly query: RoomQuery;
  readonly resolve: (list: RoomList) => void;
  readonly reject: (cause: unknown) => void;
}

/**
 * Which rooms the streams keep messages of: their leaders tell all subjects of which they have any. They cannot be asked for a prefix, so a
 * list goes through all streams of its namespace (of all, where the prefix is shorter than a namespace), whatever the page.
 * One such round runs at a time, and who asks meanwhile shares the next: so an answer is never older than its question.
 */
export class RoomCatalog {
  readonly #tools: CatalogTools;
  readonly #gate = new Gate(STREAMS_AT_ONCE);
  #waiting: Ask[] = [];
  #isRunning = false;

  constructor(tools: CatalogTools) {
    this.#tools = tools;
  }

  /**
   * Heads are not told. Rejects with a CodedError: `unavailable` where a stream does not answer in time or where too many ask;
   * `too_large` where the streams have more subjects than are gone through.
   */
  list(query: RoomQuery): Promise<RoomList> {
    if (this.#waiting.length >= LISTS_MAX) {
      this.#tools.onRefused();
      const text = `${LISTS_MAX} lists of rooms wait for NATS, the limit`;
      return Promise.reject(new CodedError("unavailable", text, RETRY_MS));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ query, resolve, reject });
      if (!this.#isRunning) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    // Who asks in the same turn shares the first round, too.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const asks = this.#waiting;
      this.#waiting = [];
      await this.#round(asks);
    }
    this.#isRunning = false;
  }

  async #round(asks: readonly Ask[]): Promise<void> {
    const pages = asks.map(({ query }) => new RoomPage(query));
    try {
      const seen = { subjects: 0 };
      const met = (room: RoomName): void => {
        for (const page of pages) page.offer({ room, head: undefined });
      };
      // All of them, also where one fails: nothing of this round may run on into the next.
      const ends = await Promise.allSettled(
        this.#streamsOf(asks).map((stream) => this.#gate.run(() => this.#read(stream, seen, met))),
      );
      for (const end of ends) if (end.status === "rejected") throw end.reason;
    } catch (cause) {
      for (const { reject } of asks) reject(cause);
      return;
    }
    asks.forEach(({ resolve }, index) => {
      const page = pages[index];
      if (page !== undefined) resolve(page.list());
    });
  }

  #streamsOf(asks: readonly Ask[]): readonly Stream[] {
    const { plan, streams } = this.#tools;
    const ids = new Set<string>();
    for (const { query } of asks) {
      const dot = query.prefix.indexOf(".");
      const namespace = dot < 0 ? undefined : query.prefix.slice(0, dot);
      const sets = namespace === undefined ? plan.sets.map(({ set }) => set) : [plan.placeOf(namespace).set];
      for (const set of sets) if (set !== undefined) ids.add(idOf(set));
    }
    return [...streams.all()].filter(({ set }) => ids.has(idOf(set)));
  }

  /** All subjects of a stream, page by page where there are very many. */
  async #read(stream: Stream, seen: { subjects: number }, met: (room: RoomName) => void): Promise<void> {
    const { api, readMs, subjectsMax = CATALOG_SUBJECTS_MAX } = this.#tools;
    for (let offset = 0; ; ) {
      if (seen.subjects > subjectsMax) throw tooMany(subjectsMax);
      const body = { subjects_filter: stream.allSubjects, offset };
      const { state, total } = await insist(
        `NATS did not tell the subjects of ${stream.name}`,
        readMs,
        (timeoutMs) => api.call(`STREAM.INFO.${stream.name}`, body, timeoutMs),
      );
      const subjects = Object.keys(objectOf(objectOf(state).subjects));
      seen.subjects += subjects.length;
      if (seen.subjects > subjectsMax) throw tooMany(subjectsMax);
      for (const subject of subjects) this.#meet(stream, subject, met);
      offset += subjects.length;
      if (subjects.length === 0 || offset >= numberOf(total)) return;
    }
  }

  /** Anybody can publish anything to NATS: what is in no room's place is none. */
  #meet(stream: Stream, subject: string, met: (room: RoomName) => void): void {
    const { plan } = this.#tools;
    const token = tokensOf(subject).room;
    const room = decodeRoom(token);
    if (room === undefined || encodeRoom(room) !== token) return;
    const { set } = placeOf(plan, room);
    if (set === undefined || idOf(set) !== idOf(stream.set)) return;
    if (plan.subjects.partitionOf(token) === stream.partition) met(room);
  }
}

function tooMany(max: number): CodedError {
  const text = `these rooms' streams have more than ${max} subjects, the most that is gone through; give the namespace streams of its own (nats.sets), and ask with the namespace in the prefix`;
  return new CodedError("too_large", text);
}
