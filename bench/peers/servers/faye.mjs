/** Faye over WebSocket with its in-memory engine. */
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { onBatches, ready } from "./feed.mjs";

const faye = createRequire(`${process.env.PEER_FOLDER}/`)("faye");
const server = createServer();
const bayeux = new faye.NodeAdapter({ mount: "/faye", timeout: 600 });
bayeux.attach(server);
server.listen(0, "127.0.0.1", 4096, () => ready(server.address().port));

const client = bayeux.getClient();
onBatches((payloads) => {
  for (const payload of payloads) client.publish("/m", Buffer.from(payload).toString("latin1"));
});
