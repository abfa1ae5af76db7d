import { request as httpRequest, type RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import { HttpError } from "../server/http-reply.js";

/** What a worker's HTTP API answered, as it is. */
export interface WorkerAnswer {
  readonly status: number;
  readonly body: string;
}

const ANSWER_MS = 5_000;
const BYTES_MAX = 8_388_608;

/** Addresses that mean every interface to a listener: it is reached on loopback. */
const ANY: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "[::]": "[::1]" };

/**
 * Asks the node's own port for messages of a room, in the name of whoever asks here: what the rights of rooms allow is decided
 * by the worker that answers, and nothing of it is kept here.
 * Rejects with an HttpError where no worker answers.
 */
export function askWorker(
  nodeUrl: string,
  path: string,
  authorization: string | undefined,
): Promise<WorkerAnswer> {
  const url = new URL(path, nodeUrl);
  url.hostname = ANY[url.hostname] ?? url.hostname;
  const options: RequestOptions & { readonly rejectUnauthorized: boolean } = {
    headers: { accept: "application/json", ...(authorization !== undefined && { authorization }) },
    signal: AbortSignal.timeout(ANSWER_MS),
    agent: false,
    // It is this node's own process on this machine; its certificate has the public name.
    rejectUnauthorized: false,
  };
  const send = url.protocol === "https:" ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const fail = (why: string): void => reject(new HttpError(503, "unavailable", why));
    const request = send(url, options, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (text: string) => {
        body += text;
        if (body.length <= BYTES_MAX) return;
        request.destroy();
        fail(`more than ${BYTES_MAX} bytes: ask for fewer messages`);
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 502, body }));
      response.on("error", () => fail("the worker that was asked is gone"));
    });
    request.on("error", () => fail("no worker answers: see the processes"));
    request.end();
  });
}
