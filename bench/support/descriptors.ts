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
