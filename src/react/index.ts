/** React hooks over fanwire's client: `import { FanwireProvider, useRoom } from "fanwire/react"`. React 18 or later. */
export type { RoomOptions, StateOptions } from "./feeds.js";
export { type ConnectionView, useConnection, useKey, useKeyedState, usePresence, useRoom } from "./hooks.js";
export { FanwireProvider, type FanwireProviderProps, useClient } from "./provider.js";
export type { RoomView } from "./room-feed.js";
export type { StateView } from "./state-feed.js";
