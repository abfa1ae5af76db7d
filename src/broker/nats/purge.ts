import { CodedError } from "../../protocol/errors.js";
import type { RoomName } from "../../protocol/room-name.js";
import { type NatsAccess, NatsLink } from "./connection.js";
import { Control } from "./control.js";
import { ApiError, ERR_CODE, insist, JsApi, numberOf, objectOf } from "./js-api.js";
import { differences, differenceText, namespacesOf, type PlanRecord } from "./plan-record.js";
import { type Purge, withPurges } from "./purge-record.js";
import { ANNOUNCE_MS } from "./purges.js";
import { SERVER_MIN, serverFeatures } from "./server-version.js";
import { type NamespaceSettings, placeOf, planStreams } from "./stream-plan.js";
import { StreamReader } from "./stream-reader.js";
import { messagesMinOf, Stream } from "./streams.js";
import { encodeRoom, Subjects } from "./subjects.js";

export interface PurgeOptions {
  readonly access: NatsAccess;
  readonly settings: NamespaceSettings;
  readonly prefix: string;
  readonly partitions: number;
  readonly rooms: readonly RoomName[];
  /** For each call, again and again until then. Default: 30 seconds. */
  readonly deadlineMs?: number;
  /** Between the announcement and the purge. Default, and the least for nodes that cannot be told at once: {@link ANNOUNCE_MS}. */
  readonly announceMs?: number;
  /** Ends it early: what was announced is told, also where it was not purged. */
  readonly signal?: AbortSignal;
}

/** What one room has, and what is remembered of it. */
export interface RoomPurge {
  readonly room: RoomName;
  readonly stream: string;
  readonly messages: number;
  /** The offset of its last message, or where one that was interrupted had come to; 0: there is nothing to purge. */
  readonly upTo: number;
}

export interface Purging {
  readonly rooms: readonly RoomPurge[];
  /**
   * Announces it, waits until every node knows, does it and says so to all. Done again after an interrupt it does the rest.
   * @returns How many messages of each room are gone, in order.
   * @throws CodedError `unavailable`, `bad_request`
   */
  apply(): Promise<readonly number[]>;
  close(): Promise<void>;
}

/** Rooms in one go. */
const PURGE_ROOMS_MAX = 500;

const DEADLINE_MS = 30_000;
const JETSTREAM_MS = 15_000;
/** In the place of a room: none has this token, and nothing is stored under it. */
const NOBODY = "~nobody";
/** Others who write the record at the same moment. */
const WRITE_TRIES = 20;

/**
 * Looks at what there is of some rooms. Close what it resolves with.
 * @throws CodedError `bad_request` where a room keeps nothing, or other settings were provisioned; `unavailable` where NATS cannot be
 * reached.
 */
export async function preparePurge(options: PurgeOptions): Promise<Purging> {
  const { access, signal, rooms } = options;
  if (rooms.length > PURGE_ROOMS_MAX)
    throw new CodedError("bad_request", `${rooms.length} rooms: at most ${PURGE_ROOMS_MAX} at once`);
  const deadlineMs = options.deadlineMs ?? DEADLINE_MS;
  const link = await NatsLink.open(access, "fanwire purge", {}, deadlineMs, signal);
  signal?.addEventListener("abort", () => void link.close());
  try {
    const work = await Work.begin(link, options, deadlineMs);
    return { rooms: work.rooms, apply: () => work.apply(), close: () => link.close() };
  } catch (cause) {
    await link.close();
    throw cause;
  }
}

interface Target extends RoomPurge {
  readonly place: Stream;
  readonly token: string;
  readonly filter: string;
}

class Work {
  readonly rooms: readonly Target[];
  readonly #api: JsApi;
  readonly #control: Control;
  readonly #subjects: Subjects;
  readonly #options: PurgeOptions;
  readonly #deadlineMs: number;

  private constructor(
    link: NatsLink,
    control: Control,
    options: PurgeOptions,
    deadlineMs: number,
    rooms: readonly Target[],
  ) {
    this.#api = new JsApi(link);
    this.#control = control;
    this.#subjects = new Subjects(options.prefix, options.partitions);
    this.#options = options;
    this.#deadlineMs = deadlineMs;
    this.rooms = rooms;
  }

  static async begin(link: NatsLink, options: PurgeOptions, deadlineMs: number): Promise<Work> {
    const { enough, version } = serverFeatures(link.serverVersion);
    if (!enough)
      throw new CodedError(
        "unavailable",
        `nats-server ${version} is too old: ${SERVER_MIN} or newer is needed`,
      );
    const subjects = new Subjects(options.prefix, options.partitions);
    const plan = planStreams(options.settings, subjects);
    const control = new Control(link, subjects);
    const until = <T>(what: string, attempt: (timeoutMs: number) => Promise<T>): Promise<T> =>
      insist(what, Math.min(deadlineMs, JETSTREAM_MS), attempt);
    const record = (await until("NATS did not give the plan", (ms) => control.readPlan(ms)))?.value;
    refuseOther(options, subjects, record);
    const { value: marks } = await until("NATS did not give the epochs", (ms) => control.readEpochs(ms));
    const { value: known } = await until("NATS did not give the purges", (ms) => control.readPurges(ms));
    const reader = new StreamReader(link);
    const api = new JsApi(link);
    const targets: Target[] = [];
    for (const room of new Set(options.rooms)) {
      const { set } = placeOf(plan, room);
      if (set === undefined)
        throw new CodedError(
          "bad_request",
          `room ${room} is ephemeral: nothing is kept that could be purged`,
        );
      const token = encodeRoom(room);
      const partition = subjects.partitionOf(token);
      const name = subjects.stream(set, partition);
      const filter = subjects.filter(set, partition, token);
      const info = await until(`NATS did not tell of ${name}`, (ms) => reader.info({ name }, ms));
      const identity = { generation: record.generation, mark: marks.get(name) ?? "" };
      const place = new Stream(subjects, set, partition, info, identity, messagesMinOf(record, set, 0));
      const [messages, last] = [await countOf(api, name, filter), await lastOf(api, name, filter)];
      const begun = known.find(
        (one) => one.stream === name && one.epoch === place.epoch && one.room === token && !one.done,
      );
      targets.push({
        room,
        stream: name,
        messages,
        upTo: Math.max(last, begun?.upTo ?? 0),
        place,
        token,
        filter,
      });
    }
    return new Work(link, control, options, deadlineMs, targets);
  }

  async apply(): Promise<readonly number[]> {
    const { announceMs = ANNOUNCE_MS, signal } = this.#options;
    const targets = this.rooms.filter(({ upTo }) => upTo > 0);
    if (targets.length === 0) return this.rooms.map(() => 0);
    await this.#try(targets);
    await this.#record(targets, false);
    await pause(announceMs, signal);
    const counts = new Map<Target, number>();
    for (const target of targets) counts.set(target, await this.#purge(target));
    await this.#record(targets, true);
    return this.rooms.map((target) => counts.get(target) ?? 0);
  }

  /** Whether this user may purge: what is announced is told, also where nothing came of it. Purges what nobody has. */
  async #try(targets: readonly Target[]): Promise<void> {
    const places = new Map(targets.map(({ place }) => [place.name, place]));
    for (const { name, set, partition } of places.values()) {
      const filter = this.#subjects.filter(set, partition, NOBODY);
      await insist(`NATS did not purge ${name}`, this.#deadlineMs, (timeoutMs) =>
        this.#api.call(`STREAM.PURGE.${name}`, { filter }, timeoutMs),
      );
    }
  }

  /** All of one room up to its last message of before: what came since was not looked at by whoever asked for this. */
  async #purge({ stream, filter, upTo, room }: Target): Promise<number> {
    const body = { filter, seq: upTo + 1 };
    const answer = await insist(`NATS did not purge room ${room}`, this.#deadlineMs, (timeoutMs) =>
      this.#api.call(`STREAM.PURGE.${stream}`, body, timeoutMs),
    );
    return numberOf(answer.purged);
  }

  async #record(targets: readonly Target[], done: boolean): Promise<void> {
    const added = targets.map(
      ({ place, token, upTo }): Purge => ({
        stream: place.name,
        epoch: place.epoch,
        room: token,
        upTo,
        done,
      }),
    );
    const places = new Map(targets.map(({ place }) => [place.name, place]));
    // Of the streams that are known here: another numbering, or nothing as old is kept.
    const isMoot = ({ stream, epoch, upTo }: Purge): boolean => {
      const place = places.get(stream);
      return place !== undefined && (epoch !== place.epoch || upTo < place.info.firstSequence);
    };
    for (let tries = 0; tries < WRITE_TRIES; tries += 1) {
      const isWritten = await insist(
        "NATS did not store the record of purges",
        this.#deadlineMs,
        async () => {
          const { value, sequence } = await this.#control.readPurges();
          return this.#control.writePurges(withPurges(value, added, isMoot), sequence);
        },
      );
      if (isWritten) return;
    }
    throw new CodedError("unavailable", "others write the record of purges at this moment: try again", 1_000);
  }
}

/** @throws CodedError `bad_request` where this is not the deployment that the settings describe. */
function refuseOther(
  { settings, partitions }: PurgeOptions,
  subjects: Subjects,
  record: PlanRecord | undefined,
): asserts record is PlanRecord {
  if (record === undefined)
    throw new CodedError("bad_request", `nothing is provisioned in NATS with the prefix ${subjects.prefix}`);
  const moves = differences(partitions, namespacesOf(settings), record).filter((one) => one.moves);
  if (moves.length > 0)
    throw new CodedError(
      "bad_request",
      `these settings are not those that were provisioned, so that rooms are elsewhere: ${moves.map(differenceText).join("; ")}`,
    );
}

/** How many messages a filter matches; of a stream with very many keys page by page. */
async function countOf(api: JsApi, stream: string, filter: string): Promise<number> {
  let messages = 0;
  let seen = 0;
  for (;;) {
    const body = { subjects_filter: filter, offset: seen };
    const { state, total } = await insist(`NATS did not tell of ${stream}`, JETSTREAM_MS, (timeoutMs) =>
      api.call(`STREAM.INFO.${stream}`, body, timeoutMs),
    );
    const counts = Object.values(objectOf(objectOf(state).subjects)).map(numberOf);
    messages += counts.reduce((sum, count) => sum + count, 0);
    seen += counts.length;
    if (counts.length === 0 || seen >= numberOf(total)) return messages;
  }
}

/** From the leader. */
async function lastOf(api: JsApi, stream: string, filter: string): Promise<number> {
  try {
    const { message } = await insist(`NATS did not tell of ${stream}`, JETSTREAM_MS, (timeoutMs) =>
      api.call(`STREAM.MSG.GET.${stream}`, { last_by_subj: filter }, timeoutMs),
    );
    return numberOf(objectOf(message).seq);
  } catch (cause) {
    if (cause instanceof ApiError && cause.errCode === ERR_CODE.messageNotFound) return 0;
    throw cause;
  }
}

/** @throws CodedError `unavailable` where it is ended. */
function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (): void => {
      clearTimeout(timer);
      reject(new CodedError("unavailable", "interrupted: it is announced, and not purged; run it again", 0));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", end);
      resolve();
    }, ms);
    if (signal?.aborted) end();
    else signal?.addEventListener("abort", end, { once: true });
  });
}
