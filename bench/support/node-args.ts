import { WORKER_NODE_ARGS } from "../../supervisor/node-args.js";

/** The arguments of node that the supervisor gives its workers, for servers that are measured as shipped. */
export function shippedNodeArgs(): string {
  return WORKER_NODE_ARGS.join(" ");
}
