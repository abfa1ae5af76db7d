import assert from "node:assert/strict";
import { decode } from "@msgpack/msgpack";
import { MemoryBroker } from "../broker/memory.js";
import { createCounters } from "../core/counters.js";
import type { Broker } from "../core/ports.js";
import { NOBODY, type View } from "../core/presence/op.js";
import { ApiKeys } from "./auth/api-keys.js";
import { type ConfigInput, createConfig, settingsOf } from "./config.js";
import { createHttpApi, type Health } from "./http-api.js";
import type { HttpReply } from "./http-types.js";

export const JSON_TYPE = { "content-type": "application/json" };
export const MSGPACK_TYPE = { "content-type": "application/msgpack" };

export interface Ask {
  method?: string;
  path: string;
  query?: string;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
}

/** The HTTP API over a memory broker whose clock stands at 1,000. */
export function createRig(input: ConfigInput = {}, broker?: Broker) {
  const config = createConfig({
    namespaces: {
      state: { state: true },
      cursors: { ephemeral: true },
      short: { history: { messages: 2 } },
      ...input.namespaces,
    },
    ...input,
  });
  const counters = createCounters();
  const faults: unknown[] = [];
  const occupants = new Map<string, View>();
  let health: Health = { ok: true, connections: 3 };
  const memory = new MemoryBroker({ settingsOf: settingsOf(config), id: "e", nowMs: () => 1_000 });
  const handler = createHttpApi({
    broker: broker ?? memory,
    settingsOf: settingsOf(config),
    config,
    auth: { authority: undefined, apiKeys: new ApiKeys(config.apiKeys) },
    guard: {},
    revoke: async () => {},
    counters,
    occupants: async (room) => occupants.get(room) ?? NOBODY,
    version: "1.2.3",
    health: () => health,
    onFault: (cause) => faults.push(cause),
  });
  const ask = ({ method = "GET", path, query = "", headers = {}, body = "" }: Ask) =>
    handler({
      method,
      path,
      query,
      headers: new Map(Object.entries(headers)),
      body: typeof body === "string" ? new TextEncoder().encode(body) : body,
    });
  const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
    ask({ method: "POST", path, headers: { ...JSON_TYPE, ...headers }, body: JSON.stringify(body) });
  const setHealth = (next: Health) => {
    health = next;
  };
  return { ask, post, broker: memory, counters, faults, setHealth, occupants };
}

export function bodyValue(reply: HttpReply): unknown {
  if (typeof reply.body === "string") return JSON.parse(reply.body);
  return decode(reply.body);
}

export function errorOf(reply: HttpReply): { code: string; message: string } {
  const value = bodyValue(reply);
  assert.ok(typeof value === "object" && value !== null && "error" in value, String(reply.body));
  const { error } = value;
  assert.ok(typeof error === "object" && error !== null && "code" in error && "message" in error);
  return { code: String(error.code), message: String(error.message) };
}
