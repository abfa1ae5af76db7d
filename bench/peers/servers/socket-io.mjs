/** Socket.IO 4, WebSocket only, without compression: on Node's http (its default), `--uws`, and `--msgpack`'s parser. */
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { onBatches, ready } from "./feed.mjs";

const peer = createRequire(`${process.env.PEER_FOLDER}/`);
const { Server } = peer("socket.io");
const msgpack = process.argv.includes("--msgpack");

const options = {
  transports: ["websocket"],
  serveClient: false,
  perMessageDeflate: false,
  pingInterval: 600_000,
  pingTimeout: 600_000,
  ...(msgpack ? { parser: peer("socket.io-msgpack-parser") } : {}),
};
let io;
if (process.argv.includes("--uws")) {
  const uWS = createRequire(import.meta.url)("uWebSockets.js");
  const app = uWS.App();
  io = new Server(options);
  io.attachApp(app, { maxBackpressure: 64 * 1024 * 1024, idleTimeout: 0, sendPingsAutomatically: false });
  app.listen("127.0.0.1", 0, (socket) => ready(uWS.us_socket_local_port(socket)));
} else {
  const server = createServer();
  io = new Server(server, options);
  server.listen(0, "127.0.0.1", 4096, () => ready(server.address().port));
}

// Text goes as text in one frame; a Buffer would take two with the default parser.
onBatches((payloads) => {
  for (const payload of payloads)
    io.emit("m", msgpack ? Buffer.from(payload) : Buffer.from(payload).toString("latin1"));
});
