// A global that browsers and Node share; this folder has the types of neither.
declare const btoa: (binary: string) => string;

/** What `String.fromCharCode` may be given at once without a deep stack. */
const CHUNK = 8_192;

/** Base64 text of bytes, with padding. */
export function base64(bytes: Uint8Array): string {
  let binary = "";
  for (let at = 0; at < bytes.length; at += CHUNK)
    binary += String.fromCharCode(...bytes.subarray(at, at + CHUNK));
  return btoa(binary);
}
