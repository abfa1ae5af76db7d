/**
 * Full-jitter exponential backoff: anywhere between 0 and `base * 2^attempt`, at most the cap, so that a crowd that
 * lost its server at once does not come back at once.
 * @see https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
export function backoffMs(attempt: number, random: () => number, baseMs: number, capMs: number): number {
  return random() * Math.min(capMs, baseMs * 2 ** attempt);
}
