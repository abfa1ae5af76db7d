/** Somebody in the chat, on Socket.IO. */
import { createRequire } from "node:module";

/**
 * Enters a room; `hear` gets the last messages and every one from then on.
 * @returns {Promise<{ say(text: string): Promise<unknown>, leave(): void }>}
 */
export async function enter({ port, room, folder }, hear) {
  const { io } = createRequire(`${folder}/`)("socket.io-client");
  const socket = io(`http://127.0.0.1:${port}`, { transports: ["websocket"], forceNew: true });
  socket.on("said", hear);
  await new Promise((resolve, reject) => {
    socket.once("connect_error", reject);
    socket.once("connect", resolve);
  });
  for (const text of await socket.emitWithAck("enter", room)) hear(text);
  return {
    say: (text) => socket.emitWithAck("say", room, text),
    leave: () => socket.disconnect(),
  };
}
