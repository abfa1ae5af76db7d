import { createServer } from "node:net";

/** uWebSockets.js says only that it could not listen; Node is asked for the reason. */
export async function whyNotListening(host: string, port: number): Promise<Error> {
  return portError(host, port, await errorOfListening(host, port));
}

/** @param code As the system calls it, such as `EADDRINUSE`. */
export function portError(host: string, port: number, code: string): Error {
  return new Error(`cannot listen on ${host}:${port}: ${reasonOf(code)}`, { cause: code });
}

function reasonOf(code: string): string {
  switch (code) {
    case "EADDRINUSE":
      return "the port is taken. Stop the program that has it, or choose another port (0: any free one)";
    case "EACCES":
      return "not permitted. Ports below 1024 need a privilege; choose a higher one";
    case "EADDRNOTAVAIL":
      return "this machine has no such address. 127.0.0.1 is this machine only, 0.0.0.0 every interface";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "the host name is not known here. Use an IP address";
    default:
      return code;
  }
}

function errorOfListening(host: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    probe.listen({ host, port, exclusive: true }, () => {
      // Free again by now; trying again is up to the caller.
      probe.close(() => resolve("the port was taken a moment ago. Try again"));
    });
  });
}
