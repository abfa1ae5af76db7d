/** What a server's version offers. Older than 2.9: nothing that would do. */
export interface ServerFeatures {
  readonly version: string;
  /** RePublish with the sequence before, direct reads, named consumers. */
  readonly enough: boolean;
  /** A consumer can have many filters. */
  readonly manyFilters: boolean;
}

/** The oldest server that will do. */
export const SERVER_MIN = "2.9.0";

/** Looks a version such as "2.10.27" or "2.11.0-RC.1" up. */
export function serverFeatures(version: string): ServerFeatures {
  return {
    version,
    enough: isAtLeast(version, 2, 9),
    manyFilters: isAtLeast(version, 2, 10),
  };
}

function isAtLeast(version: string, major: number, minor: number): boolean {
  const [, ownMajor, ownMinor] = /^(\d+)\.(\d+)\./.exec(version) ?? [];
  const [a, b] = [Number(ownMajor), Number(ownMinor)];
  return a > major || (a === major && b >= minor);
}
