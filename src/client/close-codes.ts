/** Close codes after which the same connection would be refused again. */
const FINAL_CODES: ReadonlySet<number> = new Set([4400, 4403]);
const CODE_UNAUTHENTICATED = 4401;
/** Close codes of a server that has too much of this client or of all. */
const BUSY_CODES: ReadonlySet<number> = new Set([4408, 4429, 4503]);

/** Whether there is no use in coming back. `freshTokens`: a refused token is worth another attempt. */
export function isFinal(code: number, freshTokens: boolean): boolean {
  return FINAL_CODES.has(code) || (code === CODE_UNAUTHENTICATED && !freshTokens);
}

export function isBusy(code: number): boolean {
  return BUSY_CODES.has(code);
}
