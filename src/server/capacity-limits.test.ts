import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { connectionLimits, connectionsOfWorker, handshakesOfWorker } from "./capacity-limits.js";

describe("a worker's share of the connections", () => {
  test("is all of them where it is alone, and never more", () => {
    for (const connections of [1, 7, 100_000]) {
      assert.equal(connectionsOfWorker(connections, 1), connections);
      assert.ok(connectionsOfWorker(connections, 256) <= connections);
    }
  });

  test("is a quarter above the even one, and more where few connections spread by chance", () => {
    assert.equal(connectionsOfWorker(100_000, 4), 31_250);
    assert.equal(connectionsOfWorker(100_001, 4), 25_001 + 6_251);
    assert.equal(connectionsOfWorker(400, 4), 140);
    assert.equal(connectionsOfWorker(12, 4), 10);
  });

  test("all shares together hold what is configured", () => {
    for (let connections = 1; connections < 3_000; connections += 7)
      for (const workers of [1, 2, 3, 7, 64, 256])
        assert.ok(connectionsOfWorker(connections, workers) * workers >= connections);
  });
});

describe("what a process may open bounds its connections", () => {
  const configured = { connections: 100_000, plainConnections: 4_096 };

  test("nothing changes where all fits", () => {
    assert.deepEqual(connectionLimits(configured, 100_000 + 4_096 + 64), configured);
    assert.deepEqual(connectionLimits(configured, Number.POSITIVE_INFINITY), configured);
  });

  test("a fifth is left to connections that are no socket yet, at most what is configured for them", () => {
    assert.deepEqual(connectionLimits(configured, 20_000), { connections: 15_949, plainConnections: 3_987 });
    assert.deepEqual(connectionLimits(configured, 50_064), { connections: 45_904, plainConnections: 4_096 });
    assert.deepEqual(connectionLimits({ connections: 1_000, plainConnections: 16 }, 1_079), {
      connections: 999,
      plainConnections: 16,
    });
  });

  test("all open files together are never exceeded, and each kind has one at least", () => {
    for (let files = 0; files < 5_000; files += 1) {
      const { connections, plainConnections } = connectionLimits(configured, files);
      assert.ok(connections >= 1 && plainConnections >= 1);
      if (files >= 66) assert.ok(connections + plainConnections + 64 <= files);
    }
  });
});

test("where workers outnumber the cores that they may use, each takes its share of the handshakes", () => {
  const cores = (
    count: number,
    cpuQuota = Number.POSITIVE_INFINITY,
  ): { cores: number; cpuQuota: number } => ({
    cores: count,
    cpuQuota,
  });
  assert.equal(handshakesOfWorker(2_000, 2, cores(2)), 2_000);
  assert.equal(handshakesOfWorker(2_000, 2, cores(16)), 2_000);
  assert.equal(handshakesOfWorker(2_000, 9, cores(2)), 444);
  assert.equal(handshakesOfWorker(2_000, 4, cores(16, 1.5)), 1_000);
  assert.equal(handshakesOfWorker(1, 256, cores(1)), 1);
});
