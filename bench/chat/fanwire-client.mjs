/** Somebody in the chat, on fanwire. There is no server to write: the namespace `chat` lets clients publish. */
import { Client } from "fanwire/client";
import { WebSocket } from "ws";

/**
 * Enters a room; `hear` gets the last messages and every one from then on.
 * @returns {Promise<{ say(text: string): Promise<unknown>, leave(): void }>}
 */
export async function enter({ port, room }, hear) {
  const client = new Client(`ws://127.0.0.1:${port}/ws`, { WebSocket });
  const messages = client.subscribe(`chat.${room}`, { last: 50 });
  messages.on("message", ({ data }) => hear(data));
  await new Promise((resolve, reject) => {
    messages.on("live", resolve);
    messages.on("error", reject);
  });
  return {
    say: (text) => client.publish(`chat.${room}`, text),
    leave: () => client.close(),
  };
}
