/** Deno's own WebSocket server, which has no broadcast: `send` for each socket. */
import { batchReader, ready } from "./feed.mjs";

const sockets = new Set();
const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
  if (request.headers.get("upgrade") !== "websocket") return new Response("", { status: 400 });
  const { socket, response } = Deno.upgradeWebSocket(request, { idleTimeout: 0 });
  socket.onopen = () => sockets.add(socket);
  socket.onclose = () => sockets.delete(socket);
  return response;
});
ready(server.addr.port);

const read = batchReader((payloads) => {
  for (const payload of payloads) for (const socket of sockets) socket.send(payload);
});
for await (const chunk of Deno.stdin.readable) read(chunk);
Deno.exit(0);
