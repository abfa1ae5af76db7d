import { Failure } from "./io.js";

const REQUEST_MS = 30_000;

export interface Api {
  readonly url: string;
  readonly apiKey: string | undefined;
}

/** Posts JSON and returns the decoded answer. @throws Failure that starts with the error's code. */
export async function postJson(
  { url, apiKey }: Api,
  path: string,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<unknown> {
  const authorization = apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` };
  let status: number;
  let text: string;
  try {
    const response = await fetch(`${url}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...authorization, ...headers },
      body,
      signal: AbortSignal.timeout(REQUEST_MS),
    });
    status = response.status;
    text = await response.text();
  } catch (cause) {
    throw new Failure(`${url}: ${reasonOf(cause)}`, "unavailable");
  }
  const answer = jsonOf(text);
  if (status === 200 && answer !== undefined) return answer;
  const error = errorOf(answer);
  if (error !== undefined) throw new Failure(error.message, error.code);
  throw new Failure(`${url} answered ${status}, and not as fanwire does`, "internal");
}

/** `code: message` of an answer `{error: {code, message}}`; undefined where it is none. */
export function errorText(answer: unknown): string | undefined {
  const error = errorOf(answer);
  return error === undefined ? undefined : `${error.code}: ${error.message}`;
}

/** `EPOCH:OFFSET` of an answer `{epoch, offset}`, as `--after` takes it. */
export function positionText(answer: unknown): string {
  return `${String(fieldOf(answer, "epoch"))}:${String(fieldOf(answer, "offset"))}`;
}

function errorOf(answer: unknown): { readonly code: string; readonly message: string } | undefined {
  const error = fieldOf(answer, "error");
  const code = fieldOf(error, "code");
  return typeof code === "string" ? { code, message: String(fieldOf(error, "message")) } : undefined;
}

function fieldOf(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  const fields: { readonly [name: string]: unknown } = { ...value };
  return fields[name];
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** fetch says "fetch failed" and keeps the reason in the cause. */
function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  if (cause.name === "TimeoutError") return `no answer within ${REQUEST_MS / 1_000} s`;
  const inner = cause.cause;
  const code = inner instanceof Error && "code" in inner ? String(inner.code) : undefined;
  if (code === "ECONNREFUSED") return 'nothing listens there; "fanwire serve" starts a server';
  return code ?? (inner instanceof Error ? inner.message : cause.message);
}
