/** Of a page that draws nothing at the moment, or of none: often enough for whatever looks. */
const FALLBACK_MS = 100;

const due = new Set<() => void>();
let timer: ReturnType<typeof setTimeout> | undefined;
let frame: number | undefined;

/**
 * Runs it before the next frame is drawn, once however often it is asked for, together with all others: React makes one
 * render of them. A hidden page draws no frames; there a timer takes their place.
 */
export function onNextFrame(run: () => void): void {
  due.add(run);
  if (timer !== undefined) return;
  timer = setTimeout(flush, FALLBACK_MS);
  if (typeof requestAnimationFrame === "function") frame = requestAnimationFrame(flush);
}

function flush(): void {
  clearTimeout(timer);
  if (frame !== undefined) cancelAnimationFrame(frame);
  timer = undefined;
  frame = undefined;
  const runs = [...due];
  due.clear();
  for (const run of runs) run();
}
