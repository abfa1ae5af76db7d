/** A chat on Socket.IO as its users write it: rooms, the last messages for who enters, acknowledgements, recovery. */
import { createServer } from "node:http";
import { createRequire } from "node:module";

const { Server } = createRequire(`${process.argv[2]}/`)("socket.io");

const KEPT = 50;
const server = createServer();
const io = new Server(server, {
  transports: ["websocket"],
  serveClient: false,
  connectionStateRecovery: { maxDisconnectionDuration: 120_000 },
});
const history = new Map();
let number = 0;

io.on("connection", (socket) => {
  socket.on("enter", (room, done) => {
    socket.join(room);
    done(history.get(room) ?? []);
  });
  socket.on("say", (room, text, done) => {
    number += 1;
    const kept = history.get(room) ?? [];
    kept.push(text);
    if (kept.length > KEPT) kept.shift();
    history.set(room, kept);
    io.to(room).emit("said", text);
    done(number);
  });
});

// The bench started it: it is told the port, and its end is the sign to leave.
process.once("disconnect", () => process.exit(0));
server.listen(0, "127.0.0.1", 4096, () => process.send?.({ kind: "ready", port: server.address().port }));
