import assert from "node:assert/strict";
import { after, before, describe, type TestContext, test } from "node:test";
import { CodedError } from "../../protocol/errors.js";
import { accessAs } from "./nats-accounts.testkit.js";
import { NatsAdmin } from "./nats-admin.testkit.js";
import type { NatsBroker } from "./nats-broker.js";
import { CONFORMANCE_NAMESPACES, freshPrefix, startTestBroker } from "./nats-broker.testkit.js";
import { NatsServer, until } from "./nats-server.testkit.js";
import { prepareProvisioning } from "./provision.js";

const BOUNDS = { count: 60, seconds: 600 };
/** As many at once are read by a consumer. */
const MANY = 50;

describe("revocations that nodes share", () => {
  let server: NatsServer;
  before(async () => {
    server = await NatsServer.start();
  });
  after(() => server.dispose());

  /** A node's broker and what it was told. */
  async function join(
    t: TestContext,
    prefix: string,
    seconds = BOUNDS.seconds,
  ): Promise<{ readonly broker: NatsBroker; readonly told: string[] }> {
    const told: string[] = [];
    const revoked = {
      bounds: { ...BOUNDS, seconds },
      onRevoked: (texts: readonly string[]) => void told.push(...texts),
    };
    const broker = await startTestBroker(server.url, { prefix, provision: false, revoked });
    t.after(() => broker.stop(0));
    return { broker, told };
  }

  async function provision(prefix: string): Promise<void> {
    const provisioning = await prepareProvisioning({
      ...{
        access: accessAs("provisioner", server.url),
        settings: CONFORMANCE_NAMESPACES,
        prefix,
        partitions: 2,
      },
      ...{ maxBytes: -1, dataBytes: 15_360, revocations: BOUNDS },
    });
    await provisioning.apply(false);
    await provisioning.close();
  }

  test("each reaches the others, those that start later before they serve, and those that were away", async (t) => {
    const prefix = freshPrefix();
    await provision(prefix);
    const one = await join(t, prefix);
    const two = await join(t, prefix);
    await one.broker.revoke("a", "A");
    await until("all know", () => one.told.includes("A") && two.told.includes("A"));
    const names = Array.from({ length: MANY }, (_, index) => `m${index}`);
    await Promise.all(names.map((name) => two.broker.revoke(name, name)));
    const three = await join(t, prefix);
    assert.deepEqual([...three.told].sort(), ["A", ...names].sort());
    // The same again takes no place of its own, and is told again.
    await one.broker.revoke("a", "A2");
    await until("the later one", () => three.told.includes("A2"));
    await server.kill();
    await until("they know that it is away", () => !one.broker.available);
    const refusal = await one.broker.revoke("b", "B").catch((cause: unknown) => cause);
    assert.ok(refusal instanceof CodedError && refusal.code === "unavailable", String(refusal));
    await server.restart();
    await until("back", () => one.broker.available && two.broker.available && three.broker.available);
    await two.broker.revoke("c", "C");
    await until("all know the last", () => [one, two, three].every(({ told }) => told.includes("C")));
    assert.deepEqual((await join(t, prefix)).told.sort(), ["A2", "C", ...names].sort());
  });

  test("none gives way to another: where there are too many, one more is refused", async (t) => {
    const prefix = freshPrefix();
    await provision(prefix);
    const { broker } = await join(t, prefix);
    for (let index = 0; index < BOUNDS.count; index += 1) await broker.revoke(`${index}`, "{}");
    await assert.rejects(broker.revoke("more", "{}"), /NATS does not store the revocation: maximum messages/);
    assert.equal((await join(t, prefix)).told.length, BOUNDS.count);
  });

  test("a stream that is missing or keeps too little ends the start; one that is made anew is read anew", async (t) => {
    const prefix = freshPrefix();
    await provision(prefix);
    await assert.rejects(join(t, prefix, 601), /keeps revocations for 600 s.*for 601 s.*nats provision/);
    const one = await join(t, prefix);
    await one.broker.revoke("old", "old");
    await until("it", () => one.told.length === 1);
    const admin = await NatsAdmin.connect(server.url);
    t.after(() => admin.close());
    await admin.deleteStream(`${prefix.toUpperCase()}_REVOKED`);
    await assert.rejects(join(t, prefix), /_REVOKED is missing: run "fanwire nats provision"/);
    await provision(prefix);
    await one.broker.revoke("new", "new");
    await until("the new one", () => one.told.includes("new"));
  });
});
