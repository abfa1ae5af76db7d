import { fieldsOf, textOf } from "./ops-data.js";

/** What the port refused, in its own words. */
export class Refused extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = "Refused";
    this.status = status;
  }

  /** Whether another key may help. */
  get isAboutKey(): boolean {
    return this.status === 401 || this.status === 403;
  }
}

const ANSWER_MS = 8_000;

/** Requests to the port that this page is of. Rejects with {@link Refused}, or an Error where nothing answers. */
export class OpsApi {
  /** Sent with every request; in memory only, so that it is gone with the tab. */
  key: string | undefined;
  /** Whether a drain needs a key; known once a ticket was given. */
  drainNeedsKey = true;

  get(path: string): Promise<unknown> {
    return ask("GET", path, this.key);
  }

  drain(key: string | undefined): Promise<unknown> {
    return ask("POST", "v1/drain", key);
  }

  /** For one WebSocket. */
  async ticket(): Promise<string> {
    const fields = fieldsOf(await ask("POST", "v1/ops/tickets", this.key));
    this.drainNeedsKey = fields?.drainNeedsKey !== false;
    return textOf(fields?.ticket);
  }
}

async function ask(method: string, path: string, key: string | undefined): Promise<unknown> {
  const headers: Record<string, string> = { accept: "application/json" };
  if (key !== undefined && key !== "") headers.authorization = `Bearer ${key}`;
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers,
      cache: "no-store",
      signal: AbortSignal.timeout(ANSWER_MS),
    });
  } catch {
    throw new Error("the node does not answer");
  }
  const body: unknown = await response.json().catch(() => undefined);
  if (response.ok) return body;
  const message = textOf(fieldsOf(fieldsOf(body)?.error)?.message);
  throw new Refused(response.status, message === "" ? `the node answered ${response.status}` : message);
}
