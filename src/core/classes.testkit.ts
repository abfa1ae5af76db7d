import type { Rate, ServerFrame } from "../protocol/frames.js";
import type { EngineRig, TestConnection } from "./engine-rig.testkit.js";

export type MessageFrame = ServerFrame & { readonly type: "message" };

export const messagesOf = (frames: readonly ServerFrame[]): MessageFrame[] =>
  frames.filter((frame) => frame.type === "message");

export const seen = (frames: readonly ServerFrame[]): string[] =>
  frames.map((frame) => {
    if (frame.type === "message") return `${frame.prev}>${frame.offset} ${frame.key}`;
    return frame.type === "live" ? `live ${frame.offset}` : frame.type;
  });

/** Somebody live in a class of the room, everything before it taken. */
export async function member(rig: EngineRig, room: string, rate?: Rate): Promise<TestConnection> {
  const client = rig.connect();
  await client.subscribe(room, rate === undefined ? {} : { rate });
  client.socket.take();
  return client;
}
