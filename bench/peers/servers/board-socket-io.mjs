/** A market board on Socket.IO as its users write it: a room a symbol. */
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { onBatches, ready } from "./feed.mjs";

const { Server } = createRequire(`${process.env.PEER_FOLDER}/`)("socket.io");
const server = createServer();
const io = new Server(server, {
  transports: ["websocket"],
  serveClient: false,
  perMessageDeflate: false,
  pingInterval: 600_000,
  pingTimeout: 600_000,
});
io.on("connection", (socket) => {
  socket.on("watch", (symbols) => {
    socket.join(symbols.map(String));
    socket.emit("watching");
  });
});
server.listen(0, "127.0.0.1", 4096, () => ready(server.address().port));

onBatches((payloads) => {
  for (const payload of payloads) {
    const data = Buffer.from(payload).toString("latin1");
    const symbol = String(Number(data.slice(3, 7)));
    io.to(symbol).emit("update", { symbol, data });
  }
});
