import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { FaultRig } from "./fault-rig.testkit.js";
import { NatsServer, until } from "./nats-server.testkit.js";
import { SmallDisk } from "./small-disk.testkit.js";

const MESSAGE_BYTES = 12_000;

let disk: SmallDisk | undefined;
let server: NatsServer | undefined;

before(async () => {
  disk = await SmallDisk.mount(6);
  if (disk === undefined) return;
  // Else it would stop at three quarters of what there is.
  server = await NatsServer.start({ storeDir: disk.path, jetstream: "max_file_store: 1GB" });
});

after(async () => {
  await server?.dispose();
  await disk?.unmount();
});

test("the disk that NATS stores on is full: nothing is acknowledged that is not there when it has room again", async (t) => {
  if (disk === undefined || server === undefined) {
    t.skip("a file system of its own cannot be mounted here");
    return;
  }
  const rig = await FaultRig.start(t, server, {
    busy: ["log.a", "keyed.a"],
    quiet: ["log.quiet"],
    broker: { limits: { publishMs: 1_000, ackMs: 400 } },
  });
  const [node] = rig.nodes;
  assert.ok(node !== undefined);
  rig.whisper();
  rig.publish();
  await rig.books.publishedMore(20);
  const filling = rig.books.burst(node, 700, MESSAGE_BYTES);
  await until("the disk to be full, and publishes to be refused", () => rig.books.rejected > 20, 60_000);
  t.diagnostic(`${rig.books.acknowledged} acknowledged, ${disk.freeBytes} bytes free`);
  assert.ok(disk.freeBytes < 2 * MESSAGE_BYTES, `${disk.freeBytes} bytes are free`);
  disk.grow(64);
  // A server that met with a full disk has ended its JetStream until it is started again, and 2.9 does not end when it is asked to.
  await server.kill();
  await server.start();
  await rig.allAvailable();
  await filling;
  await rig.books.publishedMore(50);
  await rig.books.silence();
  await rig.readStreams();
  // What the server acknowledged and did not get onto the disk it may give out again: then everybody is told.
  const late = (): string[] =>
    rig.books.readers.flatMap((reader) =>
      reader.resets.length > 0 ? reader.faultsSinceReset() : reader.faults(),
    );
  await until("everybody to have everything, or to have been told", () => late().length === 0).catch(
    () => undefined,
  );
  assert.deepEqual(late(), []);
  const told = new Set(rig.books.readers.flatMap(({ resets }) => resets));
  t.diagnostic(`${rig.books.summary()}; told: ${[...told].join() || "nothing"}`);
  // Without a word of another numbering everything that was acknowledged is there.
  if (!told.has("epoch"))
    assert.deepEqual(
      rig.books.faults(() => [...told]),
      [],
    );
});
