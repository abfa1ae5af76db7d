import { ServerProcess, Subscribers, type Window } from "../support/contest.js";
import { shippedNodeArgs } from "../support/node-args.js";
import { splitArgs } from "../support/scenario.js";
import type { PublishPlan } from "../support/schedule.js";
import type { Crowd } from "./design.js";

interface Stage {
  readonly subscribers: Subscribers;
  /** The crowd's rooms are its own: they begin here. */
  readonly firstRoom: number;
}

/**
 * One engine with every crowd connected all the time, in rooms of its own: what is measured may go from one to the other,
 * and no crowd has a process whose code is less compiled or whose memory is less used than another's.
 */
export class Stages {
  readonly #server: ServerProcess;
  readonly #stages = new Map<Crowd, Stage>();
  #rooms = 0;

  private constructor(server: ServerProcess) {
    this.#server = server;
  }

  /** @throws Error where a crowd does not get connected; nothing is left running then. */
  static async start(crowds: readonly Crowd[]): Promise<Stages> {
    const execArgv = splitArgs(shippedNodeArgs());
    const stages = new Stages(await ServerProcess.start("engine", { pin: true, execArgv }));
    try {
      for (const crowd of new Set(crowds)) await stages.#add(crowd);
    } catch (cause) {
      await stages.stop();
      throw cause;
    }
    return stages;
  }

  /** Publishes a plan to all rooms of a crowd. @throws RangeError for a crowd that was not started. */
  async window(crowd: Crowd, plan: Omit<PublishPlan, "rooms" | "firstRoom">): Promise<Window> {
    const stage = this.#stages.get(crowd);
    if (stage === undefined) throw new RangeError("a crowd that was not started");
    const { subscribers, firstRoom } = stage;
    return await subscribers.window(this.#server, { ...plan, rooms: crowd.rooms, firstRoom });
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#stages.values()].map(({ subscribers }) => subscribers.stop()));
    await this.#server.stop();
  }

  async #add(crowd: Crowd): Promise<void> {
    const { subscribers: connections, rooms, roomsEach } = crowd;
    const subscribers = new Subscribers({ pin: true, group: this.#stages.size });
    const firstRoom = this.#rooms;
    this.#rooms += rooms;
    this.#stages.set(crowd, { subscribers, firstRoom });
    await subscribers.connect({ server: this.#server, connections, rooms, roomsEach, firstRoom });
  }
}
