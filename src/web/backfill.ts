import type { Client, Position } from "../client/index.js";

/** Messages that are read back at the most, and a page's. */
const MESSAGES = 20_000;
const PAGE = 1_000;

/**
 * Reads a room's past, newest page first, each page's messages newest first, until the oldest that is kept. Stops when
 * `wanted` says so. Rejects as `client.history` does.
 */
export async function readBack(
  client: Client,
  room: string,
  head: Position,
  onMessage: (key: string | undefined, data: unknown) => void,
  wanted: () => boolean,
): Promise<void> {
  const { epoch } = head;
  let oldest = head.offset + 1;
  for (let read = 0; read < MESSAGES && oldest > 1 && wanted(); read += PAGE) {
    const after = { epoch, offset: Math.max(0, oldest - 1 - PAGE) };
    const page = await client.history(room, { after, limit: PAGE });
    const older = page.messages.filter((message) => message.epoch === epoch && message.offset < oldest);
    if (!wanted()) return;
    for (const { key, data } of older.reverse()) onMessage(key, data);
    oldest = after.offset + 1;
    // `lost`: what is before these is kept no more.
    if (page.lost !== undefined || older.length === 0) return;
  }
}
