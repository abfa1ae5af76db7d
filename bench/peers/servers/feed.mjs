/**
 * What every peer's server gets to broadcast: batches on standard input, each `count` payloads of the same length:
 * two uint32 (count, bytes a payload), big-endian, then the payloads. Works in Node, Bun and Deno.
 */

const HEADER_BYTES = 8;

/** Returns a function to be given the input as it comes; it calls `onBatch` with the payloads of each batch. */
export function batchReader(onBatch) {
  let rest = new Uint8Array(0);
  return (chunk) => {
    let bytes = chunk;
    if (rest.length > 0) {
      bytes = new Uint8Array(rest.length + chunk.length);
      bytes.set(rest);
      bytes.set(chunk, rest.length);
    }
    let at = 0;
    for (;;) {
      if (bytes.length - at < HEADER_BYTES) break;
      const view = new DataView(bytes.buffer, bytes.byteOffset + at, HEADER_BYTES);
      const count = view.getUint32(0);
      const length = view.getUint32(4);
      if (bytes.length - at < HEADER_BYTES + count * length) break;
      at += HEADER_BYTES;
      const payloads = [];
      for (let number = 0; number < count; number++, at += length)
        payloads.push(bytes.slice(at, at + length));
      onBatch(payloads);
    }
    rest = bytes.slice(at);
  };
}

/** Node and Bun: reads standard input; the process ends with it, so that it never outlives the bench. */
export function onBatches(onBatch) {
  process.stdin.on("data", batchReader(onBatch));
  process.stdin.once("end", () => process.exit(0));
  // Ctrl-C reaches the whole group; the bench decides when its servers leave.
  process.on("SIGINT", () => {});
}

/** The bench waits for this line. */
export function ready(port, more = {}) {
  console.log(JSON.stringify({ port, ...more }));
}
