import assert from "node:assert/strict";
import type { Check } from "./conformance-rig.testkit.js";

const DEADLINE_MS = 10_000;
const MESSAGES = 500;

/** What brokers that have gossip do with it. */
export function gossipTests(check: Check): void {
  check(
    "gossip: who listens hears what is said, in order and byte for byte, until it stops",
    async ({ broker }, t) => {
      const { gossip } = broker;
      if (gossip === undefined) {
        t.skip("this broker has none");
        return;
      }
      assert.equal(gossip.isConnected, true);
      const heard: [string[], string[]] = [[], []];
      const last = deferred();
      const stops = heard.map((list, who) =>
        gossip.listen((bytes) => {
          const text = Buffer.from(bytes).toString("latin1");
          // Another run of the suite may share the deployment.
          if (text.startsWith(mark)) list.push(text.slice(mark.length));
          if (who === 1 && text === `${mark}${MESSAGES - 1}ÿ`) last.resolve(undefined);
        }),
      );
      const timer = setTimeout(
        () => last.reject(new Error(`heard ${heard[1].length} of ${MESSAGES}`)),
        DEADLINE_MS,
      );
      t.after(() => clearTimeout(timer));
      for (let n = 0; n < MESSAGES; n++) gossip.say(Buffer.from(`${mark}${n}ÿ`, "latin1"));
      await last.promise;
      const expected = Array.from({ length: MESSAGES }, (_, n) => `${n}ÿ`);
      assert.deepEqual(heard, [expected, expected]);
      stops[0]?.();
      const more = deferred();
      const stop = gossip.listen((bytes) => {
        if (Buffer.from(bytes).toString("latin1") === `${mark}more`) more.resolve(undefined);
      });
      gossip.say(Buffer.from(`${mark}more`, "latin1"));
      await more.promise;
      assert.deepEqual([heard[0].length, heard[1].length], [MESSAGES, MESSAGES + 1]);
      stops[1]?.();
      stop();
    },
  );
}

const mark = `conformance ${process.pid} `;

interface Deferred {
  readonly promise: Promise<unknown>;
  resolve(value: unknown): void;
  reject(cause: unknown): void;
}

function deferred(): Deferred {
  let settle: Pick<Deferred, "resolve" | "reject"> | undefined;
  const promise = new Promise((resolve, reject) => {
    settle = { resolve, reject };
  });
  if (settle === undefined) throw new Error("a promise runs its executor at once");
  return { promise, ...settle };
}
