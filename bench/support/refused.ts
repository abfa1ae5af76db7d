/** The engine that is measured would not do what a scenario asked of it; the text has its own code and words. */
export class Refused extends Error {
  override readonly name = "Refused";
}

/** The text of a {@link Refused}. `what`: what was asked for. */
export function refusalText(what: string, code: unknown, text: unknown): string {
  return `${what} was refused: ${String(code)}: ${String(text)}`;
}
