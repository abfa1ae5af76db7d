import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, test } from "node:test";
import { decode, encode } from "@msgpack/msgpack";
import { Publisher } from "./publisher.js";

type Item = { room: string; key: string; data: unknown; id: string };
type Answer = (
  items: Item[],
  reply: (status: number, body: unknown) => void,
  response: ServerResponse,
) => void;

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** A server of which each request is answered by the next of `answers`, the last one for ever. */
async function serve(answers: Answer[], port = 0) {
  const requests: Item[][] = [];
  const headers: unknown[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const items = decode(Buffer.concat(chunks)) as Item[];
    requests.push(items);
    headers.push(request.headers);
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    answer?.(items, (status, body) => response.writeHead(status).end(encode(body)), response);
  });
  servers.push(server);
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests, headers };
}

const stored: Answer = (items, reply) =>
  reply(
    200,
    items.map((_, index) => ({ epoch: "e", offset: index + 1 })),
  );

function publisherOf(url: string, apiKey?: string) {
  const lines: string[] = [];
  const publisher = new Publisher({ url, apiKey, say: (line) => lines.push(line), random: () => 0 });
  return { publisher, lines };
}

async function until(what: () => boolean): Promise<void> {
  const deadline = Date.now() + 5_000;
  while (!what()) {
    assert.ok(Date.now() < deadline, `not reached: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

const message = (n: number) => ({ room: "market.fx", key: `k${n}`, data: { n } });

test("batches go out in order, one request at a time, with key and id", async () => {
  const { url, requests, headers } = await serve([stored]);
  const { publisher } = publisherOf(url, "secret");
  for (let n = 0; n < 100; n += 1) assert.equal(publisher.offer([message(n)]), true);
  await until(() => publisher.published === 100);
  await publisher.stop();
  assert.deepEqual(
    requests.flat().map((item) => item.key),
    Array.from({ length: 100 }, (_, n) => `k${n}`),
  );
  assert.equal(new Set(requests.flat().map((item) => item.id)).size, 100);
  const [first] = headers;
  assert.equal(Reflect.get(Object(first), "authorization"), "Bearer secret");
});

test("a server that is away is told once, tried again with the same ids, and nothing is taken meanwhile", async () => {
  const busy: Answer = (_, reply) => reply(503, { error: { code: "unavailable", message: "no broker" } });
  const { url, requests } = await serve([busy, busy, stored]);
  const { publisher, lines } = publisherOf(url);
  publisher.offer([message(1)]);
  await until(() => lines.length === 1);
  assert.equal(publisher.offer([message(2)]), false);
  await until(() => lines.length === 2);
  assert.equal(publisher.offer([message(3)]), true);
  await until(() => publisher.published === 2);
  await publisher.stop();
  assert.match(lines[0] ?? "", /unavailable no broker; trying again/);
  assert.match(lines[1] ?? "", /publishing again after/);
  const ids = requests.slice(0, 3).map((items) => items[0]?.id);
  assert.equal(new Set(ids).size, 1);
});

test("no server at all is waited for", async () => {
  const probe = await serve([stored]);
  const port = Number(new URL(probe.url).port);
  for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
  const { publisher, lines } = publisherOf(probe.url);
  publisher.offer([message(1)]);
  await until(() => lines.length === 1);
  assert.match(lines[0] ?? "", /ECONNREFUSED/);
  await serve([stored], port);
  await until(() => publisher.published === 1);
  await publisher.stop();
});

test("only the messages that were not stored are sent again", async () => {
  const second: Answer = (items, reply) =>
    reply(
      200,
      items.map((_, index) =>
        index === 1
          ? { error: { code: "unavailable", message: "later", retryMs: 1 } }
          : { epoch: "e", offset: 1 },
      ),
    );
  const { url, requests } = await serve([second, stored]);
  const { publisher } = publisherOf(url);
  publisher.offer([message(1), message(2), message(3)]);
  await until(() => publisher.published === 3);
  await publisher.stop();
  assert.deepEqual(
    requests.map((items) => items.map((item) => item.key)),
    [["k1", "k2", "k3"], ["k2"]],
  );
});

for (const [name, answer, reason] of [
  [
    "status",
    ((_, reply) => reply(401, { error: { code: "unauthenticated", message: "no key" } })) as Answer,
    /unauthenticated no key/,
  ],
  [
    "result",
    ((items, reply) =>
      reply(
        200,
        items.map(() => ({ error: { code: "forbidden", message: "no" } })),
      )) as Answer,
    /market\.fx: forbidden no/,
  ],
  ["wrong number of results", ((_, reply) => reply(200, [])) as Answer, /list of 1 results/],
] as const) {
  test(`a refusal for good ends the publisher with its reason: ${name}`, async () => {
    const { url } = await serve([answer]);
    const { publisher } = publisherOf(url);
    publisher.offer([message(1)]);
    assert.match((await publisher.ended()) ?? "", reason);
    assert.equal(publisher.offer([message(2)]), false);
    await publisher.stop();
  });
}

test("stop gives up a request that is never answered", { timeout: 5_000 }, async () => {
  const { url, requests } = await serve([() => {}]);
  const { publisher } = publisherOf(url);
  publisher.offer([message(1)]);
  await until(() => requests.length === 1);
  await publisher.stop();
  assert.equal(await publisher.ended(), undefined);
});

test("the queue is bounded", async () => {
  const { url } = await serve([() => {}]);
  const { publisher } = publisherOf(url);
  let taken = 0;
  while (publisher.offer([message(taken)])) taken += 1;
  assert.ok(taken >= 1_000 && taken <= 10_000, `${taken} taken`);
  await publisher.stop();
});
