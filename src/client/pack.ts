/** Below the values that a server takes in one WebSocket message. */
const VALUES_MAX = 500;

/** Puts values back to back into as few WebSocket messages as fit. A value above the limit goes alone. */
export function pack(values: readonly Uint8Array[], bytesMax: number): Uint8Array<ArrayBuffer>[] {
  const packed: Uint8Array<ArrayBuffer>[] = [];
  let start = 0;
  let bytes = 0;
  values.forEach((value, index) => {
    if (index > start && (bytes + value.length > bytesMax || index - start >= VALUES_MAX)) {
      packed.push(join(values.slice(start, index), bytes));
      start = index;
      bytes = 0;
    }
    bytes += value.length;
  });
  if (start < values.length) packed.push(join(values.slice(start), bytes));
  return packed;
}

function join(values: readonly Uint8Array[], bytes: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(bytes);
  let at = 0;
  for (const value of values) {
    out.set(value, at);
    at += value.length;
  }
  return out;
}
