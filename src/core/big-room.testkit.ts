import { encodeClient } from "../protocol/client-wire.testkit.js";
import type { ClientFrame, ServerFrame } from "../protocol/frames.js";
import { parseRoom } from "../protocol/room-name.js";
import { EngineRig, type TestConnection } from "./engine-rig.testkit.js";
import type { Limits } from "./limits.js";

export const room = parseRoom("chat.a");

export const seen = (frames: readonly ServerFrame[]): string[] =>
  frames.map((frame) => {
    if (frame.type === "message") return `${frame.prev}>${frame.offset}`;
    return frame.type === "live" ? `live ${frame.offset}` : frame.type;
  });

/** What each of these got since it was last asked. */
export const taken = (clients: readonly TestConnection[]): string[][] =>
  clients.map(({ socket }) => seen(socket.take()));

/** Clients that are live in the room, each in a lane of its own unless the limits say otherwise. */
export async function crowd(
  size: number,
  limits: Partial<Limits> = {},
  name = "chat.a",
): Promise<{ readonly rig: EngineRig; readonly clients: TestConnection[] }> {
  const rig = new EngineRig({ laneSockets: 1, ...limits });
  const clients: TestConnection[] = [];
  for (let count = 0; count < size; count += 1) {
    const client = rig.connect();
    await client.subscribe(name);
    client.socket.take();
    clients.push(client);
  }
  return { rig, clients };
}

export function tick(rig: EngineRig): void {
  rig.tickAsked = false;
  rig.engine.tick(rig.nowMs);
}

/** Sends without a tick. */
export function say(client: TestConnection, frame: ClientFrame): void {
  client.session.receive(encodeClient(frame), client.rig.nowMs);
}

export async function resume(client: TestConnection, offset: number): Promise<void> {
  const { head } = await client.rig.broker.history(room, "oldest", 1);
  say(client, { type: "subscribe", ref: 1, room, options: { after: { epoch: head.epoch, offset } } });
}
