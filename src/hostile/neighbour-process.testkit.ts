import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { within } from "../server/raw-socket.testkit.js";
import type { Lateness } from "./neighbours.testkit.js";

const PROGRAM = fileURLToPath(new URL("neighbours-program.testkit.js", import.meta.url));
const ANSWER_MS = 40_000;

interface Answer {
  readonly lateness?: Lateness;
  readonly failure?: string;
}

/** Honest clients in a process of their own; gone when the test is over. */
export class NeighbourProcess {
  readonly #child: ChildProcess;
  /** From the start of the clients to before any attack. */
  before: Lateness | undefined;

  private constructor(t: TestContext, url: string, count: number) {
    this.#child = fork(PROGRAM, [url, String(count)], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    t.after(() => this.#child.kill("SIGKILL"));
  }

  static async start(t: TestContext, url: string, count: number): Promise<NeighbourProcess> {
    const neighbours = new NeighbourProcess(t, url, count);
    neighbours.before = await neighbours.#answer();
    return neighbours;
  }

  /** Asserts that everybody got everything that was published by now, in order, once. How late it was since the last call. */
  caughtUp(): Promise<Lateness> {
    this.#child.send("caughtUp");
    return this.#answer();
  }

  async stop(): Promise<void> {
    const exit = once(this.#child, "exit");
    this.#child.send("stop");
    await within(exit, "the end of the honest clients");
  }

  async #answer(): Promise<Lateness> {
    const answered = once(this.#child, "message");
    const [answer]: Answer[] = await within(answered, "word of the honest clients", ANSWER_MS);
    assert.equal(answer?.failure, undefined);
    if (answer?.lateness === undefined) throw new Error("the honest clients said something else");
    return answer.lateness;
  }
}
