/** Where a value was written. */
export type Source =
  | { readonly kind: "default" | "option" }
  | { readonly kind: "file" | "env" | "flag"; readonly name: string };

/** One wrong value, or one wrong name. */
export interface ConfigProblem {
  /** The key, joined by dots; the name as written where it is no key. */
  readonly path: string;
  /** As written, in JSON, shortened; undefined where there is nothing to show. Secrets are never shown. */
  readonly given: string | undefined;
  readonly source: Source;
  /** What is wrong and what is allowed. */
  readonly message: string;
}

/** Everything that is wrong with a configuration, at once. */
export class ConfigError extends Error {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
    super(
      `${count} in the configuration:\n${problems.map((problem) => `  ${problemText(problem)}`).join("\n")}`,
    );
    this.name = "ConfigError";
    this.problems = problems;
  }
}

/** A source in words. */
export function sourceText(source: Source): string {
  switch (source.kind) {
    case "file":
      return source.name;
    case "env":
      return `environment ${source.name}`;
    case "flag":
      return `flag ${source.name}`;
    case "default":
    case "option":
      return source.kind;
  }
}

function problemText({ path, given, source, message }: ConfigProblem): string {
  return `${path}${given === undefined ? "" : ` = ${given}`} (${sourceText(source)}): ${message}`;
}
