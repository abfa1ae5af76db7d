import { Agent, request } from "node:http";
import { decode, encode } from "@msgpack/msgpack";
import { hostMicros } from "./clock.js";
import { benchRoom, createContent, setDue } from "./message-scan.js";
import { type PublishPlan, planShots, runShots } from "./schedule.js";

/** A few connections, as publishes overlap when the server is slow; each is kept alive. */
const CONNECTIONS = 4;
/** Lets server and subscribers become quiet before the first shot. */
const REST_MICROS = 300_000;

/**
 * Publishes a plan over HTTP, from this process, as an application would: each shot is one batch of its burst to
 * `POST /v1/messages`. Returns each room's last offset, when all are answered. @throws Error for any refusal.
 */
export async function publishOverHttp(port: number, plan: PublishPlan): Promise<number[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const content = createContent(plan.bytes);
  const heads = Array.from({ length: plan.rooms }, () => 0);
  const answers: Promise<void>[] = [];
  try {
    await runShots(planShots(plan, hostMicros() + REST_MICROS), ({ room, dueMicros }) => {
      setDue(content, dueMicros);
      const item = { room: benchRoom(room), data: content };
      const body = encode(Array.from({ length: plan.burst }, () => item));
      answers.push(
        post(agent, port, body).then((offset) => {
          heads[room] = Math.max(heads[room] ?? 0, offset);
        }),
      );
    });
    await Promise.all(answers);
  } finally {
    agent.destroy();
  }
  return heads;
}

/** Resolves with the last message's offset. */
function post(agent: Agent, port: number, body: Uint8Array): Promise<number> {
  const headers = {
    "content-type": "application/msgpack",
    accept: "application/msgpack",
    "content-length": body.length,
  };
  return new Promise((resolve, reject) => {
    const posted = request(
      { agent, host: "127.0.0.1", port, method: "POST", path: "/v1/messages", headers },
      (response) => {
        const parts: Buffer[] = [];
        response.on("data", (part: Buffer) => parts.push(part));
        response.once("error", reject);
        response.once("end", () => {
          try {
            resolve(lastOffset(response.statusCode, decode(Buffer.concat(parts))));
          } catch (cause) {
            reject(cause);
          }
        });
      },
    );
    posted.once("error", reject);
    posted.end(body);
  });
}

function lastOffset(status: number | undefined, answer: unknown): number {
  const offsets = Array.isArray(answer) ? answer.map((result: { offset?: unknown }) => result.offset) : [];
  const last: unknown = offsets.at(-1);
  if (status === 200 && offsets.every((offset) => typeof offset === "number") && typeof last === "number")
    return last;
  throw new Error(`publishing was answered with ${status} ${JSON.stringify(answer)}`);
}
