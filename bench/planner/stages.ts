import { ServerProcess, Subscribers, type Window } from "../support/contest.js";
import { shippedNodeArgs } from "../support/node-args.js";
import { splitArgs } from "../support/scenario.js";
import type { PublishPlan } from "../support/schedule.js";
import type { Crowd } from "./design.js";

interface Stage {
  readonly server: ServerProcess;
  readonly subscribers: Subscribers;
}

/** An engine for every crowd, which is connected all the time: what is measured may go from one to the other. */
export class Stages {
  readonly #stages = new Map<Crowd, Stage>();

  /** @throws Error where a crowd does not get connected; nothing is left running then. */
  static async start(crowds: readonly Crowd[]): Promise<Stages> {
    const stages = new Stages();
    try {
      for (const crowd of new Set(crowds)) await stages.#add(crowd);
    } catch (cause) {
      await stages.stop();
      throw cause;
    }
    return stages;
  }

  /** Publishes a plan to a crowd. @throws RangeError for a crowd that was not started. */
  async window(crowd: Crowd, plan: PublishPlan): Promise<Window> {
    const stage = this.#stages.get(crowd);
    if (stage === undefined) throw new RangeError("a crowd that was not started");
    return await stage.subscribers.window(stage.server, plan);
  }

  async stop(): Promise<void> {
    await Promise.all(
      [...this.#stages.values()].flatMap(({ server, subscribers }) => [subscribers.stop(), server.stop()]),
    );
  }

  async #add(crowd: Crowd): Promise<void> {
    const { subscribers: connections, rooms, roomsEach } = crowd;
    const group = this.#stages.size;
    const execArgv = splitArgs(shippedNodeArgs());
    const server = await ServerProcess.start("engine", { pin: true, execArgv });
    const subscribers = new Subscribers({ pin: true, group });
    this.#stages.set(crowd, { server, subscribers });
    await subscribers.connect({ server, connections, rooms, roomsEach });
  }
}
