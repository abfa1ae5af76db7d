/** A market board on ws as its users write it: who watches a symbol gets each of its updates by `send`, made into text once. */
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { onBatches, ready } from "./feed.mjs";

const { WebSocketServer } = createRequire(import.meta.url)("ws");
const watchers = new Map();
const server = createServer();
new WebSocketServer({ server, perMessageDeflate: false }).on("connection", (client) => {
  client.on("message", (text) => {
    const { watch } = JSON.parse(text);
    for (const symbol of watch) {
      if (!watchers.has(symbol)) watchers.set(symbol, new Set());
      watchers.get(symbol).add(client);
    }
    client.once("close", () => {
      for (const symbol of watch) watchers.get(symbol)?.delete(client);
    });
    client.send('{"watching":true}');
  });
});
server.listen(0, "127.0.0.1", 4096, () => ready(server.address().port));

onBatches((payloads) => {
  for (const payload of payloads) {
    const data = Buffer.from(payload).toString("latin1");
    const symbol = Number(data.slice(3, 7));
    const interested = watchers.get(symbol);
    if (interested === undefined || interested.size === 0) continue;
    const text = JSON.stringify({ symbol, data });
    for (const client of interested) client.send(text);
  }
});
