import { useCallback, useSyncExternalStore } from "react";
import type { Client } from "../client/client.js";
import { FanwireError } from "../client/errors.js";
import type { Message } from "../client/message.js";
import type { Presence } from "../client/presence.js";
import type { ConnectionState, SubscriptionState } from "../client/state.js";
import type { RoomOptions, StateOptions, Way } from "./feeds.js";
import { onNextFrame } from "./frames.js";
import { useClient, useFeeds } from "./provider.js";
import type { RoomFeed, RoomView } from "./room-feed.js";
import type { StateFeed, StateView } from "./state-feed.js";

const SUBSCRIBING: SubscriptionState = { kind: "subscribing" };
const NO_MESSAGES: RoomView<never> = { messages: [], state: SUBSCRIBING, error: undefined, reset: undefined };
const NO_STATE: StateView<never> = { values: new Map(), state: SUBSCRIBING, error: undefined };
const MEMBERS = { members: true } as const;
const NO_CONNECTION: ConnectionView = { state: { kind: "idle" }, latencyMs: undefined };

/**
 * Follows a room while the component is mounted: its latest messages, oldest first, rendered at most once a frame. All
 * components that follow it share one subscription.
 *
 * ```tsx
 * const { messages, error } = useRoom<Chat>("chat.lobby", { last: 50 });
 * ```
 */
export function useRoom<T = unknown>(room: string, options: RoomOptions = {}): RoomView<T> {
  return useWay<RoomFeed<T>, RoomView<T>>(
    { kind: "room", room, options },
    (feed, reader) => feed.listen(reader),
    (feed) => feed.view,
    failedRoom,
    NO_MESSAGES,
  );
}

/**
 * Follows the latest message of every key of a room, rendered at most once a frame. For a table of many keys let each cell
 * {@link useKey}: this one renders for every change of any key.
 *
 * ```tsx
 * const { values } = useKeyedState<Quote>("market.quotes", { rate: 4 });
 * ```
 */
export function useKeyedState<T = unknown>(room: string, options: StateOptions = {}): StateView<T> {
  return useWay<StateFeed<T>, StateView<T>>(
    { kind: "state", room, options },
    (feed, reader) => feed.listen(reader),
    (feed) => feed.view,
    failedState,
    NO_STATE,
  );
}

/**
 * Follows one key of a room: its latest message, or undefined. Renders when that key changes, at most once a frame. All
 * that follow keys of a room, and {@link useKeyedState}, share one subscription.
 *
 * ```tsx
 * const quote = useKey<Quote>("market.quotes", symbol, { rate: 10 });
 * ```
 */
export function useKey<T = unknown>(
  room: string,
  key: string,
  options: StateOptions = {},
): Message<T> | undefined {
  return useWay<StateFeed<T>, Message<T> | undefined>(
    { kind: "state", room, options },
    (feed, reader) => feed.listenTo(key, reader),
    (feed) => feed.get(key),
    () => undefined,
    undefined,
    key,
  );
}

/**
 * Follows who is in a room: how many, and where its namespace lists members, who. Undefined before it is known. Components that
 * also {@link useRoom} it give both hooks the same options, `members: true` among them.
 *
 * ```tsx
 * const presence = usePresence("chat.lobby", { members: true, info: { name: "Ada" } });
 * ```
 */
export function usePresence(
  room: string,
  options: RoomOptions & { readonly members: true } = MEMBERS,
): Presence | undefined {
  return useWay<RoomFeed<unknown>, Presence | undefined>(
    { kind: "room", room, options },
    (feed, reader) => feed.listen(reader),
    (feed) => feed.presence,
    () => undefined,
    undefined,
  );
}

/** What {@link useConnection} returns. */
export interface ConnectionView {
  readonly state: ConnectionState;
  /** Round trip of the last ping, as of the last change of `state`; undefined before the first. */
  readonly latencyMs: number | undefined;
}

const connections = new WeakMap<Client, ConnectionView>();

/** What the connection is doing. */
export function useConnection(): ConnectionView {
  const client = useClient();
  const subscribe = useCallback(
    (reader: () => void) => client?.on("state", () => onNextFrame(reader)) ?? (() => {}),
    [client],
  );
  const read = (): ConnectionView => (client === undefined ? NO_CONNECTION : connectionOf(client));
  return useSyncExternalStore(subscribe, read, () => NO_CONNECTION);
}

function connectionOf(client: Client): ConnectionView {
  const { state, latencyMs } = client;
  let view = connections.get(client);
  if (view === undefined || view.state !== state || view.latencyMs !== latencyMs) {
    view = { state, latencyMs };
    connections.set(client, view);
  }
  return view;
}

/** Joins the way while the component is mounted, and reads what `read` finds in its feed. */
function useWay<F, V>(
  way: Way,
  listen: (feed: F, reader: () => void) => () => void,
  read: (feed: F) => V,
  failed: (error: FanwireError) => V,
  none: V,
  part = "",
): V {
  const feeds = useFeeds();
  // Ways are written in place, another object every render: what counts is what they say.
  const said = JSON.stringify([way, part]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: see above.
  const subscribe = useCallback(
    (reader: () => void) => {
      if (feeds === undefined) return () => {};
      const leave = feeds.join(way);
      const feed = feeds.find(way);
      const unlisten = isFeed<F>(feed) ? listen(feed, reader) : () => {};
      return () => {
        unlisten();
        leave();
      };
    },
    [feeds, said],
  );
  const look = (): V => {
    const feed = feeds?.find(way);
    if (feed instanceof FanwireError) return failed(feed);
    return isFeed<F>(feed) ? read(feed) : none;
  };
  return useSyncExternalStore(subscribe, look, () => none);
}

const failedRooms = new WeakMap<FanwireError, RoomView<never>>();
const failedStates = new WeakMap<FanwireError, StateView<never>>();

/** The same view for the same error, as React asks of a snapshot. */
function failedRoom(error: FanwireError): RoomView<never> {
  let view = failedRooms.get(error);
  if (view === undefined) {
    view = { ...NO_MESSAGES, state: { kind: "failed", error }, error };
    failedRooms.set(error, view);
  }
  return view;
}

function failedState(error: FanwireError): StateView<never> {
  let view = failedStates.get(error);
  if (view === undefined) {
    view = { ...NO_STATE, state: { kind: "failed", error }, error };
    failedStates.set(error, view);
  }
  return view;
}

function isFeed<F>(found: unknown): found is F {
  return found !== undefined && !(found instanceof FanwireError);
}
