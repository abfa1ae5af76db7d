/**
 * What the rest of the client has, handed over: a bundler would cut a module that both this part, which is loaded when it is needed, and the rest
 * import out of both, and everybody would load one file more.
 */
export interface Codec {
  /** One value as MessagePack. */
  encode(value: unknown): Uint8Array;
  /** All values that stand back to back. @throws Error where they are not whole. */
  decode(bytes: Uint8Array): unknown[];
}

/** Why a request was refused, by a code of the protocol. */
export class Refusal {
  readonly code: string;
  readonly message: string;
  readonly retryMs: number | undefined;

  constructor(code: string, message: string, retryMs?: number) {
    this.code = code;
    this.message = message;
    this.retryMs = retryMs;
  }
}

/** What a thrown value says. */
export function textOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  // Node's fetch only says that it failed, and has why beneath.
  return cause.cause instanceof Error && cause.cause.message !== "" ? cause.cause.message : cause.message;
}
