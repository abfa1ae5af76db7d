import { type Codec, Refusal, textOf } from "./codec.js";

const MSGPACK = "application/msgpack";

/** The server's HTTP side, beside its WebSocket. */
export class Http {
  readonly #base: string;
  readonly #query: string;
  readonly codec: Codec;
  /** Sent with every request. */
  token: string | undefined;

  constructor(socketUrl: string, token: string | undefined, codec: Codec) {
    this.codec = codec;
    const url = new URL(socketUrl);
    const given = url.searchParams.get("token");
    const path = url.pathname.replace(/\/(ws\/?)?$/, "");
    this.#base = `${url.protocol.replace("ws", "http")}//${url.host}${path}`;
    this.#query = given === null ? "" : `token=${encodeURIComponent(given)}`;
    this.token = token;
  }

  /** Rejects where nothing answers; an answer of any status is one. */
  get(path: string, signal: AbortSignal, query = ""): Promise<Response> {
    return this.#fetch(path, query, { signal, headers: { accept: MSGPACK } });
  }

  post(path: string, body: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<Response> {
    // Streams of events are of a type of their own; who asks for one takes anything.
    const headers = { accept: path.endsWith("events") ? "*/*" : MSGPACK, "content-type": MSGPACK };
    return this.#fetch(path, "", { method: "POST", body, signal, headers });
  }

  #fetch(path: string, query: string, init: RequestInit): Promise<Response> {
    const parameters = [query, this.#query].filter((part) => part !== "").join("&");
    const authorization = this.token === undefined ? {} : { authorization: `Bearer ${this.token}` };
    const headers = { ...(init.headers as Record<string, string>), ...authorization };
    const url = `${this.#base}${path}${parameters === "" ? "" : `?${parameters}`}`;
    return fetch(url, { ...init, headers, cache: "no-store" });
  }
}

/** What an answer that is none says; `internal`: whoever answers is not the server that was meant. */
export async function refusalOf(response: Response, codec: Codec): Promise<Refusal> {
  const said = `HTTP ${response.status}`;
  try {
    const bytes = new Uint8Array(await response.arrayBuffer());
    const isPacked = response.headers.get("content-type")?.includes("msgpack") === true;
    const body: unknown = isPacked ? codec.decode(bytes)[0] : JSON.parse(new TextDecoder().decode(bytes));
    return refusalIn(body) ?? new Refusal("internal", said);
  } catch (cause) {
    return new Refusal("internal", `${said}: ${textOf(cause)}`);
  }
}

/** The error in `{error: {code, message, retryMs?}}`; undefined where there is none. */
export function refusalIn(body: unknown): Refusal | undefined {
  const error = fieldOf(body, "error");
  const [code, message, retryMs] = ["code", "message", "retryMs"].map((name) => fieldOf(error, name));
  if (typeof code !== "string") return undefined;
  return new Refusal(code, String(message), typeof retryMs === "number" ? retryMs : undefined);
}

export function fieldOf(raw: unknown, name: string): unknown {
  return typeof raw === "object" && raw !== null ? Reflect.get(raw, name) : undefined;
}
