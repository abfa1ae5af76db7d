import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { eventually, startRig } from "./gateway-rig.testkit.js";
import { freePort, handshake, RawSocket, within } from "./raw-socket.testkit.js";

const LONG_MS = 20_000;

/** Connections that the kernel has completed and the listener, in this process, could not accept yet; requests sent. */
async function queued(port: number, count: number): Promise<RawSocket[]> {
  const sockets = Array.from({ length: count }, () => {
    const raw = new RawSocket(connect({ port, host: "127.0.0.1" }));
    raw.write(handshake({}));
    return raw;
  });
  // Node connects in the tick after; on loopback a handshake is complete when that returns.
  await new Promise<void>((resolve) => process.nextTick(resolve));
  return sockets;
}

test("what the kernel has queued when listening stops is answered, not reset", async (t) => {
  const rig = await startRig(t);
  const sockets = await queued(rig.port, 200);
  const stopped = rig.gateway.stopListening();
  for (const socket of sockets) {
    const { status } = await socket.answer();
    assert.ok(status === 101 || status === 503, `answered ${status}`);
  }
  await stopped;
  await assert.rejects(RawSocket.connect(rig.port));
  for (const socket of sockets) socket.destroy();
});

test("connections that keep coming do not keep the listener open", async (t) => {
  const rig = await startRig(t);
  let coming = true;
  const knock = async (): Promise<void> => {
    while (coming) {
      const socket = await RawSocket.connect(rig.port).catch(() => undefined);
      if (socket === undefined) return;
      socket.destroy();
    }
  };
  const knocking = Promise.all(Array.from({ length: 20 }, knock));
  await within(rig.gateway.stopListening(), "the end of listening", LONG_MS);
  await within(knocking, "the refusal of all", LONG_MS);
  coming = false;
});

test("gateways that share a port all get connections; one that stops leaves all to the others", async (t) => {
  const port = await freePort();
  const first = await startRig(t, { port, sharePort: true });
  const second = await startRig(t, { port, sharePort: true });
  assert.equal(first.port, second.port);
  const sockets = await queued(port, 100);
  for (const socket of sockets) assert.equal((await socket.answer()).status, 101);
  await eventually(() => first.counters.connections + second.counters.connections === 100, "all");
  assert.ok(first.counters.connections > 0 && second.counters.connections > 0);
  const before = second.counters.connections;
  await first.gateway.stopListening();
  const more = await queued(port, 50);
  for (const socket of more) assert.equal((await socket.answer()).status, 101);
  await eventually(() => second.counters.connections === before + 50, "all at the other one");
  for (const socket of [...sockets, ...more]) socket.destroy();
});

test("a port is not shared with a gateway that has it for itself, whoever comes first", async (t) => {
  const port = await freePort();
  const shared = await startRig(t, { port, sharePort: true });
  await assert.rejects(startRig(t, { port, sharePort: false }), /the port is taken/);
  await shared.gateway.close(200);
  const exclusive = await startRig(t, { port, sharePort: false });
  await assert.rejects(startRig(t, { port, sharePort: true }), /the port is taken/);
  assert.equal(exclusive.port, port);
});
