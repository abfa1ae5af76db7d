import type { RoomReport } from "../core/engine.js";
import type { RoomName } from "../protocol/room-name.js";
import type { Child } from "./child.js";

/** A room in one worker. */
export interface InspectedWorker extends Partial<RoomReport> {
  readonly worker: number;
  /** False where nobody is in the room there, or no answer came. */
  readonly open: boolean;
  /** It did not answer in time: what is with the room there is not known. */
  readonly silent?: true;
}

/** A room in one node. */
export interface RoomOfNode {
  readonly node: string;
  readonly subscribers: number;
  /** Live members of the class that gets every message, and of all others together. */
  readonly every: number;
  readonly paced: number;
  /** Workers that did not answer: what they have is missing here. */
  readonly silentWorkers: number;
}

/** Another node that was heard of lately. `room` is undefined where it did not answer in time. */
export interface OtherNode {
  readonly node: string;
  readonly room: RoomOfNode | undefined;
}

/** A room in all other nodes of the deployment. */
export interface OtherNodes {
  readonly nodes: readonly OtherNode[];
  /** Why there may be more than these. */
  readonly problem?: string | undefined;
}

/** What `GET /v1/ops/rooms/{room}` tells. */
export interface InspectedRoom {
  readonly room: RoomName;
  /** Of all workers of this node that answered. */
  readonly subscribers: number;
  readonly workers: readonly InspectedWorker[];
  /** This node first. */
  readonly nodes: readonly ({ readonly node: string; readonly silent?: true } & Partial<RoomOfNode>)[];
  /** Why there may be other nodes than these. */
  readonly problem?: string | undefined;
}

/** Asks every worker process of this node what it has of the room. */
export function inspectWorkers(
  workers: readonly Pick<Child, "index" | "inspect">[],
  room: RoomName,
): Promise<readonly InspectedWorker[]> {
  return Promise.all(
    workers.map(async (child): Promise<InspectedWorker> => {
      const answer = await child.inspect(room);
      const worker = child.index;
      if (answer === "silent") return { worker, open: false, silent: true };
      return { worker, open: answer !== "closed", ...(answer === "closed" ? {} : answer) };
    }),
  );
}

export function roomOfNode(node: string, workers: readonly InspectedWorker[]): RoomOfNode {
  let [subscribers, every, paced, silentWorkers] = [0, 0, 0, 0];
  for (const worker of workers) {
    subscribers += worker.subscribers ?? 0;
    if (worker.silent) silentWorkers += 1;
    for (const { rate, members } of worker.classes ?? []) {
      if (rate === "all") every += members;
      else paced += members;
    }
  }
  return { node, subscribers, every, paced, silentWorkers };
}
