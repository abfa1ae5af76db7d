import { lstatSync, unlinkSync } from "node:fs";
import { connect, type Server } from "node:net";

/** What the kernel takes as the path of a Unix socket, without the zero at its end. */
const PATH_BYTES_MAX = 107;

/**
 * Lets a server listen at a path, for this user only. A socket that a killed process left there is replaced.
 * @throws Error where the path is too long, or somebody listens there.
 */
export async function listenAt(server: Server, path: string): Promise<void> {
  const bytes = Buffer.byteLength(path);
  if (bytes > PATH_BYTES_MAX)
    throw new Error(`socket path ${path} has ${bytes} bytes; the kernel takes ${PATH_BYTES_MAX}`);
  try {
    await listen(server, path);
  } catch (cause) {
    if (codeOf(cause) !== "EADDRINUSE") throw cause;
    if (!lstatSync(path).isSocket()) throw new Error(`${path} is a file, and no socket`, { cause });
    if (await isAlive(path)) throw new Error(`another process listens at ${path}`, { cause });
    unlinkSync(path);
    await listen(server, path);
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    // The socket is made within the call, and must not be open to others even for a moment.
    const before = process.umask(0o177);
    try {
      server.listen(path, () => {
        server.off("error", reject);
        resolve();
      });
    } finally {
      process.umask(before);
    }
  });
}

function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (cause) => resolve(codeOf(cause) !== "ECONNREFUSED" && codeOf(cause) !== "ENOENT"));
  });
}

function codeOf(cause: unknown): unknown {
  return cause instanceof Error && "code" in cause ? cause.code : undefined;
}
