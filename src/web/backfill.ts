import type { Client, Message, Position } from "../client/index.js";

/** Messages that are read back at the most. */
const MESSAGES = 20_000;
/** Of a quote's size, so that one answer (16,000 bytes) holds a stretch. */
const STRETCH = 200;

/**
 * Reads a room's past from the newest stretch to the oldest, each newest message first, until what is kept ends or
 * `wanted` says no. Rejects as `client.history` does.
 */
export async function readBack(
  client: Pick<Client, "history">,
  room: string,
  head: Position,
  onMessage: (message: Message) => void,
  wanted: () => boolean,
): Promise<void> {
  const { epoch } = head;
  const end = Math.max(0, head.offset - MESSAGES);
  for (let offset = head.offset; offset > end && wanted(); offset -= STRETCH) {
    const after = { epoch, offset: Math.max(end, offset - STRETCH) };
    const stretch = await readStretch(client, room, after, offset);
    if (!wanted()) return;
    for (const message of stretch.messages.reverse()) onMessage(message);
    if (stretch.lost) return;
  }
}

/** All messages after a position up to an offset; an answer may hold fewer than were asked for. */
async function readStretch(
  client: Pick<Client, "history">,
  room: string,
  start: Position,
  upTo: number,
): Promise<{ readonly messages: Message[]; readonly lost: boolean }> {
  const messages: Message[] = [];
  for (let after = start; after.offset < upTo; ) {
    const page = await client.history(room, { after, limit: upTo - after.offset });
    const { epoch } = start;
    messages.push(...page.messages.filter((message) => message.epoch === epoch && message.offset <= upTo));
    if (page.lost !== undefined) return { messages, lost: true };
    const last = page.messages.at(-1);
    if (last === undefined || !page.more) break;
    after = last;
  }
  return { messages, lost: false };
}
