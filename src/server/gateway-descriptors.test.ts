import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { DescriptorAnswer, DescriptorOrder } from "./descriptor-child.testkit.js";
import { DescriptorGuard } from "./gateway-descriptors.js";
import { eventually, startRig } from "./gateway-rig.testkit.js";
import { handshake, RawSocket, within } from "./raw-socket.testkit.js";
import { WireClient } from "./wire-client.testkit.js";

const LONG_MS = 20_000;
const LIMITS = { connections: 100, plainConnections: 10 };

/** A system with so many files open, as told later on. */
function system(max: number): { readonly max: number; open: number | undefined; now(): number | undefined } {
  return {
    max,
    open: undefined,
    now() {
      return this.open;
    },
  };
}

test("connections of either kind may take what the other leaves, up to both limits together", () => {
  const guard = new DescriptorGuard(LIMITS, system(1_000));
  assert.ok(guard.fits(109, 0) && guard.fits(9, 100));
  assert.ok(!guard.fits(110, 0) && !guard.fits(10, 100));
  assert.equal(guard.socketsMax, 100);
});

test("descriptors that others take are not there for connections, until they are given back", () => {
  const files = system(200);
  const guard = new DescriptorGuard(LIMITS, files);
  files.open = 50;
  assert.equal(guard.sweep(5, 15), 0);
  assert.ok(guard.fits(10, 99), "170 are not open by others, 110 and 32 spare ones are enough");
  // 130 others.
  files.open = 150;
  assert.equal(guard.sweep(5, 15), 0);
  assert.equal(guard.socketsMax, 30);
  assert.ok(guard.fits(10, 27) && !guard.fits(10, 28));
  files.open = 30;
  assert.equal(guard.sweep(5, 15), 0);
  assert.ok(guard.fits(10, 99));
});

test("where next to none is free, so many sockets are too many that the spare ones are free again", () => {
  const files = system(200);
  const guard = new DescriptorGuard(LIMITS, files);
  files.open = 184;
  assert.equal(guard.sweep(0, 80), 0);
  files.open = 185;
  assert.equal(guard.sweep(0, 80), 17);
  files.open = 200;
  assert.equal(guard.sweep(0, 80), 32);
  assert.equal(guard.sweep(0, 3), 3, "no more than there are");
  assert.equal(guard.socketsMax, 1);
});

test("a system that does not say how many are open changes nothing", () => {
  const guard = new DescriptorGuard(LIMITS, system(Number.POSITIVE_INFINITY));
  assert.equal(guard.sweep(10, 100), 0);
  assert.ok(guard.fits(9, 100));
});

test("sockets closed for want of descriptors are told why, and counted; later ones are admitted again", async (t) => {
  const files = system(1_000);
  const rig = await startRig(t, { openFiles: files });
  const clients = await Promise.all(Array.from({ length: 40 }, () => WireClient.open(rig.port)));
  files.open = 995;
  await eventually(() => rig.gatewayCounters.connectionsShed > 0, "the sweep");
  files.open = 100;
  assert.equal(rig.gatewayCounters.connectionsShed, 27);
  const closed = await Promise.all(clients.slice(0, 27).map((client) => client.ws.closed));
  assert.ok(closed.every(({ code }) => code === 4503));
  assert.equal(rig.counters.connections, 13);
  await eventually(() => rig.lines.some(({ message }) => /open files run out/.test(message)), "the log");
  await eventuallyAsync(async () => (await knockAndLeave(rig.port, 1)) === 1, "a place");
});

interface Child {
  readonly port: number;
  ask(order: DescriptorOrder): Promise<DescriptorAnswer>;
}

/** A server in a process that may have so few files open. */
async function startChild(t: TestContext, openFiles: number): Promise<Child> {
  const file = fileURLToPath(new URL("descriptor-child.testkit.js", import.meta.url));
  const command = `ulimit -n ${openFiles}; exec "$0" "$1"`;
  const stdio = ["ignore", "inherit", "inherit", "ipc"] as const;
  const child: ChildProcess = spawn("bash", ["-c", command, process.execPath, file], { stdio: [...stdio] });
  t.after(() => child.kill("SIGKILL"));
  const answer = async (): Promise<DescriptorAnswer> => {
    const [message] = await within(once(child, "message"), "the child's answer", LONG_MS);
    return message;
  };
  const { port } = await answer();
  return {
    port,
    ask: (order) => {
      child.send(order);
      return answer();
    },
  };
}

/** How a handshake ended. */
type Outcome = "welcome" | "refused" | "cut";

async function knock(port: number): Promise<{ readonly outcome: Outcome; readonly socket: RawSocket }> {
  const socket = await RawSocket.connect(port);
  socket.write(handshake({}));
  try {
    const { status } = await socket.answer();
    return { outcome: status === 101 ? "welcome" : "refused", socket };
  } catch {
    await within(socket.closed, "an answer or the end");
    return { outcome: "cut", socket };
  }
}

async function knockAll(port: number, count: number) {
  const all = await Promise.all(Array.from({ length: count }, () => knock(port)));
  const welcomes = all.filter(({ outcome }) => outcome === "welcome").length;
  const leave = () => {
    for (const { socket } of all) socket.destroy();
  };
  return { welcomes, leave };
}

/** Of one second, how much the child computed. */
async function busyMs(child: Child): Promise<number> {
  const before = await child.ask({ kind: "look" });
  await sleep(1_000);
  const after = await child.ask({ kind: "look" });
  return after.cpuMs - before.cpuMs;
}

test("a process with 256 descriptors answers or cuts each of hundreds of handshakes, does not spin, and recovers", {
  skip: process.platform !== "linux" && "descriptors are counted on Linux",
}, async (t) => {
  const child = await startChild(t, 256);
  const silent = await Promise.all(Array.from({ length: 100 }, () => RawSocket.connect(child.port)));
  const storm = await knockAll(child.port, 400);
  assert.ok(storm.welcomes >= 50 && storm.welcomes <= 192, `${storm.welcomes} got in`);
  assert.ok((await busyMs(child)) < 500, "the loop rests while all places are taken");
  storm.leave();
  for (const socket of silent) socket.destroy();
  await eventuallyAsync(async () => (await child.ask({ kind: "look" })).connections === 0, "all gone");
  const again = await knockAll(child.port, 100);
  assert.equal(again.welcomes, 100);
  again.leave();
});

test("a process whose descriptors something else takes gives up some sockets rather than spin, and recovers", {
  skip: process.platform !== "linux" && "descriptors are counted on Linux",
}, async (t) => {
  const child = await startChild(t, 256);
  const first = await knockAll(child.port, 100);
  assert.equal(first.welcomes, 100);
  const { taken } = await child.ask({ kind: "take", count: 1_000 });
  assert.ok(taken > 50 && taken < 256, `${taken} taken`);
  // Not one is left: whoever comes now waits in the kernel until the next look.
  const second = await knockAll(child.port, 20);
  assert.ok((await child.ask({ kind: "look" })).shed >= 20);
  assert.ok((await busyMs(child)) < 500, "the loop rests");
  await child.ask({ kind: "giveBack" });
  second.leave();
  await eventuallyAsync(async () => (await knockAndLeave(child.port, 50)) === 50, "places");
  first.leave();
});

async function knockAndLeave(port: number, count: number): Promise<number> {
  const { welcomes, leave } = await knockAll(port, count);
  leave();
  return welcomes;
}

async function eventuallyAsync(holds: () => Promise<boolean>, what: string): Promise<void> {
  const endMs = Date.now() + LONG_MS;
  while (!(await holds())) {
    if (Date.now() > endMs) throw new Error(`not within ${LONG_MS} ms: ${what}`);
    await sleep(50);
  }
}
