import { after } from "node:test";
import { type BrokerFixture, conformance } from "../conformance.testkit.js";
import { natsFixture } from "./nats-broker.testkit.js";
import { NatsCluster, NatsServer } from "./nats-server.testkit.js";

let server: Promise<NatsServer> | undefined;
let cluster: Promise<NatsCluster> | undefined;

after(async () => {
  for (const fixture of await Promise.allSettled(fixtures))
    if (fixture.status === "fulfilled") await fixture.value.dispose();
  await (await server)?.dispose();
  await (await cluster)?.dispose();
});

conformance(
  "the NATS broker on one server",
  async () => {
    server ??= NatsServer.start();
    return natsFixture((await server).url, 2);
  },
  { concurrency: 2 },
);

// Three replicas, and connections to whichever server: reads meet replicas that are behind. Streams of three replicas
// take their time to be made, so those of the next tests are made while one runs.
const AHEAD = 2;
const fixtures: Promise<BrokerFixture>[] = [];

conformance("the NATS broker on three servers", async () => {
  cluster ??= NatsCluster.start();
  const { urls } = await cluster;
  while (fixtures.length < AHEAD) fixtures.push(natsFixture(urls, 1));
  return (await fixtures.shift()) ?? natsFixture(urls, 1);
});
