/**
 * Bare uWebSockets.js: a publish a message, from outside of any handler, or with `--packed` all messages of a batch in
 * one WebSocket message, which is then a protocol of one's own.
 */
import { createRequire } from "node:module";
import { onBatches, ready } from "./feed.mjs";

const uWS = createRequire(import.meta.url)("uWebSockets.js");
const packed = process.argv.includes("--packed");

const app = uWS.App();
app.ws("/*", {
  compression: uWS.DISABLED,
  maxBackpressure: 64 * 1024 * 1024,
  idleTimeout: 0,
  sendPingsAutomatically: false,
  open: (socket) => socket.subscribe("m"),
});
app.listen("127.0.0.1", 0, (socket) => ready(uWS.us_socket_local_port(socket)));

onBatches((payloads) => {
  if (packed) app.publish("m", Buffer.concat(payloads), true);
  else for (const payload of payloads) app.publish("m", payload, true);
});
