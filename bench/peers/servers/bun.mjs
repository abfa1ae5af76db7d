/** Bun's own WebSocket server: `server.publish`, a call a message. */
import { onBatches, ready } from "./feed.mjs";

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch: (request, self) => (self.upgrade(request) ? undefined : new Response("", { status: 400 })),
  websocket: {
    perMessageDeflate: false,
    backpressureLimit: 64 * 1024 * 1024,
    idleTimeout: 0,
    sendPings: false,
    open: (socket) => socket.subscribe("m"),
    message: () => {},
  },
});
ready(server.port);

onBatches((payloads) => {
  for (const payload of payloads) server.publish("m", payload);
});
