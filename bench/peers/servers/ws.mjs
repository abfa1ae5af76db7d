/**
 * ws. As users write it: `client.send` for each client. `--prepared`: the frame is made once and written to each
 * client's socket, the best that ws allows for single messages. `--corked`: the same, the frames of a batch in one write.
 */
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { onBatches, ready } from "./feed.mjs";

const { Sender, WebSocketServer } = createRequire(import.meta.url)("ws");
const prepared = process.argv.includes("--prepared");
const corked = process.argv.includes("--corked");

const server = createServer();
const sockets = new Set();
const wss = new WebSocketServer({ server, perMessageDeflate: false, clientTracking: !prepared && !corked });
wss.on("connection", (client, { socket }) => {
  sockets.add(socket);
  client.once("close", () => sockets.delete(socket));
});
server.listen(0, "127.0.0.1", 4096, () => ready(server.address().port));

const FRAME = { fin: true, rsv1: false, opcode: 2, mask: false, readOnly: true };

onBatches((payloads) => {
  if (prepared || corked) {
    const frames = payloads.map((payload) => Buffer.concat(Sender.frame(Buffer.from(payload), FRAME)));
    if (corked) write([Buffer.concat(frames)]);
    else for (const frame of frames) write([frame]);
    return;
  }
  for (const payload of payloads) for (const client of wss.clients) client.send(payload);
});

function write([bytes]) {
  for (const socket of sockets) socket.write(bytes);
}
