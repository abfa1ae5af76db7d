import { connectionLimits } from "../../server/capacity-limits.js";
import { openFilesMax } from "./environment.js";

/** Files that a client process has open besides its sockets. */
export const OWN_FILES = 100;

/** @throws Error where one process may not have so many sockets open, with what is needed and what there is. */
export function checkDescriptors(sockets: number, limit = openFilesMax()): void {
  const needed = sockets + OWN_FILES;
  if (needed <= limit) return;
  throw new Error(
    `${needed.toLocaleString("en-US")} open files are needed by one process for ${sockets.toLocaleString("en-US")} sockets; ` +
      `it may have ${limit.toLocaleString("en-US")} (ulimit -n; "fanwire doctor" says more)`,
  );
}

/** As the configuration has it by default. */
const PLAIN_CONNECTIONS = 4_096;

/** @throws Error where so many workers of an engine on this machine cannot hold so many connections, with what is needed and what there is. */
export function checkWorkers(connections: number, workers: number, limit = openFilesMax()): void {
  const wanted = { connections, plainConnections: PLAIN_CONNECTIONS };
  const each = connectionLimits(wanted, limit).connections;
  if (workers * each >= connections) return;
  throw new Error(
    `${connections.toLocaleString("en-US")} connections need ${Math.ceil(connections / each)} workers or more of ${limit.toLocaleString("en-US")} open files, ` +
      `of which ${each.toLocaleString("en-US")} are for sockets; there ${workers === 1 ? "is 1" : `are ${workers}`} (--workers, ulimit -n; "fanwire doctor" says more)`,
  );
}
