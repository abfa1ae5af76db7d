import type { Gossip } from "../core/ports.js";
import type { RoomName } from "../protocol/room-name.js";
import type { FromChild, ToChild } from "./ipc.js";
import { Neighbours } from "./neighbours.js";
import { Questions } from "./questions.js";
import type { RoomOfNode } from "./room-inspection.js";

/** Above the time that the supervisor gives its workers. */
const HERE_MS = 2_500;

/**
 * In the process that hosts the broker: hands questions of other nodes to the supervisor, and its questions to them.
 * @param gossip undefined where the node has no right to it
 * @returns tells other nodes that this one is going
 */
export function startNeighbourLine(node: string, gossip: Gossip | undefined): () => void {
  const here = new Questions<RoomOfNode>(HERE_MS);
  const inspect = (room: RoomName): Promise<RoomOfNode | undefined> =>
    here.ask((id) => tell({ kind: "roomAsked", id, room }));
  const neighbours = gossip && new Neighbours({ node, gossip, inspect });
  process.on("message", (message: ToChild) => {
    if (message.kind === "roomHere") here.answered(message.id, message.room);
    if (message.kind !== "askNodes") return;
    const { id, room } = message;
    const answer = neighbours?.ask(room) ?? Promise.resolve(NOT_ALLOWED);
    void answer.then((others) => tell({ kind: "nodesAnswered", id, others }));
  });
  return () => neighbours?.leave();
}

const NOT_ALLOWED = {
  nodes: [],
  problem:
    "other nodes cannot be asked: this node's NATS user may not publish and subscribe to PREFIX.presence",
};

function tell(message: FromChild): void {
  // An error means that the supervisor is gone, which ends this process.
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}
