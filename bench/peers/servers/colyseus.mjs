/** Colyseus on its uWebSockets transport: one room, `broadcast`. Seats are reserved beforehand, their paths told. */
import { createRequire } from "node:module";
import { onBatches, ready } from "./feed.mjs";

const peer = createRequire(`${process.env.PEER_FOLDER}/`);
const { Server, Room, matchMaker } = peer("@colyseus/core");
const { uWebSocketsTransport } = peer("@colyseus/uwebsockets-transport");

let room;
class Bench extends Room {
  onCreate() {
    room = this;
    this.maxClients = 1_000_000;
    this.autoDispose = false;
    this.setSeatReservationTime(3_600);
    // No state that would be patched: broadcasts alone.
    this.setPatchRate(null);
  }
}

const transport = new uWebSocketsTransport({
  maxBackpressure: 64 * 1024 * 1024,
  idleTimeout: 0,
  sendPingsAutomatically: false,
});
const server = new Server({ transport, greet: false, gracefullyShutdown: false });
server.define("bench", Bench);
const port = Number(process.env.PEER_PORT);
await server.listen(port, "127.0.0.1");
const paths = [];
for (let seat = 0; seat < Number(process.env.PEER_CONNECTIONS); seat++) {
  const { sessionId, room: listing } = await matchMaker.joinOrCreate("bench", {});
  paths.push(`/${listing.processId}/${listing.roomId}?sessionId=${sessionId}`);
}
ready(port, { paths });

onBatches((payloads) => {
  for (const payload of payloads) room.broadcast("m", Buffer.from(payload).toString("latin1"));
});
