import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { decode, encode } from "@msgpack/msgpack";
import type { Access, Guest } from "../../core/access.js";
import type { Outgoing } from "../../core/ports.js";
import { CodedError, ERROR_STATUS, type ErrorCode } from "../../protocol/errors.js";
import type { RoomName } from "../../protocol/room-name.js";
import type { RoomPattern } from "../../protocol/room-pattern.js";
import { checkData, type DataLimits } from "../../protocol/transcode.js";
import type { GatewayCounters } from "../gateway-limits.js";
import type { Knock } from "./door.js";

/** Who does what a hook is asked about. */
export interface HookCaller {
  /** The token's subject; undefined where there is no token. */
  readonly sub: string | undefined;
  /** All claims of the token. */
  readonly claims: Readonly<Record<string, unknown>> | undefined;
  /** Where the client is, such as `192.0.2.1`, by the word of trusted proxies; undefined where nobody can tell. */
  readonly address: string | undefined;
}

/** One that has a connection, or asks over HTTP. */
export interface HookGuest extends HookCaller {
  /** The connection's id, as in `welcome`; "" over HTTP. */
  readonly session: string;
  /** Name of the API key over HTTP. */
  readonly apiKey: string | undefined;
}

/** Nothing: it may. With `refuse`: it may not, and is told the code and the text. */
// biome-ignore lint/suspicious/noConfusingVoidType: a hook that returns nothing is the usual one
export type Verdict = void | undefined | { readonly refuse: ErrorCode; readonly text?: string };

/** What a module of hooks may export. Each may be async; one that throws or takes too long refuses that operation only. */
export interface HookModule {
  onConnect?(caller: HookCaller & Pick<Knock, "headers" | "query">): Verdict | Promise<Verdict>;
  onSubscribe?(event: HookGuest & { readonly room: string }): Verdict | Promise<Verdict>;
  /** Asked about patterns such as `chat.*`. A module that has `onSubscribe` and not this lets nobody subscribe to patterns. */
  onSubscribePattern?(event: HookGuest & { readonly pattern: string }): Verdict | Promise<Verdict>;
  /** May return other `data` (anything that MessagePack can write) to be published instead. */
  onPublish?(
    event: HookGuest & { readonly room: string; readonly key: string | undefined; readonly data: unknown },
  ): PublishVerdict | Promise<PublishVerdict>;
}

export type PublishVerdict = Verdict | { readonly data: unknown };

export interface HooksOptions {
  readonly timeoutMs: number;
  readonly limits: DataLimits;
  readonly counters: GatewayCounters;
  /** Told what a hook threw, or that it took too long. */
  readonly onFailure: (hook: string, cause: unknown) => void;
}

const NAMES = ["onConnect", "onSubscribe", "onSubscribePattern", "onPublish"] as const;

/** Loads a module. @throws Error where it cannot be loaded, or exports none of the hooks. */
export async function loadHooks(path: string): Promise<HookModule> {
  const url = pathToFileURL(resolve(path)).href;
  let loaded: Record<string, unknown>;
  try {
    loaded = await import(url);
  } catch (cause) {
    throw new Error(
      `hooks.module ${path} cannot be loaded: ${cause instanceof Error ? cause.message : cause}`,
    );
  }
  const found = NAMES.filter((name) => loaded[name] !== undefined);
  const wrong = found.find((name) => typeof loaded[name] !== "function");
  if (wrong !== undefined) throw new Error(`hooks.module ${path}: ${wrong} is no function`);
  if (found.length === 0) throw new Error(`hooks.module ${path} exports none of ${NAMES.join(", ")}`);
  return loaded;
}

/** Asks a module's hooks, each within the time. */
export class Hooks {
  readonly #module: HookModule;
  readonly #options: HooksOptions;
  /** The last publish of each that has one under way, so that one's publishes stay in order. */
  readonly #publishing = new WeakMap<Guest, Promise<unknown>>();
  /** No field of the connection: without hooks nobody wants to know. */
  readonly #addresses = new WeakMap<Guest, string>();
  /** Undefined where the module does not have it, and nobody needs to ask. */
  readonly connect: ((knock: Knock, access: Access) => Promise<void>) | undefined;
  readonly subscribe: ((guest: Guest, room: RoomName) => Promise<void>) | undefined;
  readonly subscribePattern: ((guest: Guest, pattern: RoomPattern) => Promise<void>) | undefined;
  readonly publish: ((guest: Guest, outgoing: Outgoing) => Promise<Outgoing>) | undefined;

  constructor(module: HookModule, options: HooksOptions) {
    this.#module = module;
    this.#options = options;
    if (module.onConnect !== undefined) this.connect = (knock, access) => this.#connect(knock, access);
    if (module.onSubscribe !== undefined) this.subscribe = (guest, room) => this.#subscribe(guest, room);
    if (module.onSubscribePattern !== undefined || module.onSubscribe !== undefined)
      this.subscribePattern = (guest, pattern) => this.#subscribePattern(guest, pattern);
    if (module.onPublish !== undefined) this.publish = (guest, outgoing) => this.#publish(guest, outgoing);
  }

  /** A connection is open: from here on hooks are told its address. */
  entered(guest: Guest, address: string | undefined): void {
    if (address !== undefined) this.#addresses.set(guest, address);
  }

  async #connect({ headers, query, address }: Knock, access: Access): Promise<void> {
    const caller = { ...callerOf(access), address, headers, query };
    check(await this.#ask("onConnect", async () => this.#module.onConnect?.(caller)));
  }

  async #subscribe(guest: Guest, room: RoomName): Promise<void> {
    const event = { ...this.#guestOf(guest), room };
    check(await this.#ask("onSubscribe", async () => this.#module.onSubscribe?.(event)));
  }

  async #subscribePattern(guest: Guest, pattern: RoomPattern): Promise<void> {
    // Whoever decides about rooms one by one must not be passed by.
    if (this.#module.onSubscribePattern === undefined)
      throw new CodedError(
        "forbidden",
        `pattern ${pattern}: this server's hook decides about each room by itself: subscribe to rooms by their names`,
      );
    const event = { ...this.#guestOf(guest), pattern };
    check(await this.#ask("onSubscribePattern", async () => this.#module.onSubscribePattern?.(event)));
  }

  #publish(guest: Guest, outgoing: Outgoing): Promise<Outgoing> {
    const verdict = this.#askPublish(guest, outgoing);
    const before = this.#publishing.get(guest);
    const inOrder = before === undefined ? verdict : before.then(ignore, ignore).then(() => verdict);
    // One that waits for its turn may be refused long before.
    verdict.catch(ignore);
    this.#publishing.set(guest, inOrder);
    return inOrder;
  }

  async #askPublish(guest: Guest, outgoing: Outgoing): Promise<Outgoing> {
    const { room, key, data } = outgoing;
    const event = { ...this.#guestOf(guest), room, key, data: decode(data) };
    const verdict = await this.#ask("onPublish", async () => this.#module.onPublish?.(event));
    if (verdict === undefined || !("data" in verdict)) {
      check(verdict);
      return outgoing;
    }
    return { ...outgoing, data: checkData(encode(verdict.data), this.#options.limits) };
  }

  #guestOf(guest: Guest): HookGuest {
    const apiKey = "apiKey" in guest && typeof guest.apiKey === "string" ? guest.apiKey : undefined;
    const own = "address" in guest && typeof guest.address === "string" ? guest.address : undefined;
    const address = own ?? this.#addresses.get(guest);
    return { ...callerOf(guest.access), address, session: guest.id, apiKey };
  }

  /** Rejects with `internal` where it throws and `timeout` where it takes too long; both are counted and told. */
  async #ask<T>(hook: string, run: () => Promise<T>): Promise<Exclude<T, void> | undefined> {
    const { timeoutMs, counters, onFailure } = this.#options;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${hook} took longer than ${timeoutMs} ms`)), timeoutMs);
    });
    let isLate = true;
    const asked = run().finally(() => {
      isLate = false;
    });
    try {
      return ((await Promise.race([asked, late])) ?? undefined) as Exclude<T, void> | undefined;
    } catch (cause) {
      counters.hooksFailed += 1;
      onFailure(hook, cause);
      throw isLate
        ? new CodedError("timeout", `${hook} took longer than ${timeoutMs} ms`)
        : new CodedError("internal", `${hook} failed`);
    } finally {
      clearTimeout(timer);
    }
  }
}

function check(verdict: { readonly refuse: ErrorCode; readonly text?: string } | undefined): void {
  if (verdict === undefined) return;
  const { refuse, text } = verdict;
  // Of another language's module anything may come.
  const code = Object.hasOwn(ERROR_STATUS, refuse) ? refuse : "internal";
  throw new CodedError(code, typeof text === "string" ? text : "refused");
}

function callerOf(access: Access): Omit<HookCaller, "address"> {
  const claims = "claims" in access ? access.claims : undefined;
  return { sub: access.sub, claims: isRecord(claims) ? claims : undefined };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function ignore(): void {}
