/** fanwire's client for browsers and Node: `import { Client } from "fanwire/client"`. */
export type { Position, Rate, ResetReason } from "../protocol/frames.js";
export { Client, type ClientEvents, type DataOf } from "./client.js";
export { FanwireError, type FanwireErrorCode } from "./errors.js";
export { Extension } from "./extension.js";
export type { HistoryPage, Message } from "./message.js";
export type {
  ClientOptions,
  HistoryOptions,
  PresenceOptions,
  PublishOptions,
  SocketClass,
  SocketLike,
  StateMapOptions,
  SubscribeOptions,
  TokenSource,
} from "./options.js";
export type { Presence, PresenceChange, PresencePage } from "./presence.js";
export type { ConnectionState, Reset, Subscribed, SubscriptionState, Transport } from "./state.js";
export { type StateChange, StateMap, type StateMapEvents } from "./state-map.js";
export type { Subscription, SubscriptionEvents } from "./subscription.js";
