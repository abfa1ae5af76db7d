import { ownHeaders } from "./message-headers.js";
import type { Publisher } from "./publisher.js";
import type { Stream } from "./streams.js";
import { NO_ROOM, type Subjects } from "./subjects.js";

/** Stores a message of no room, its token is none that a room has; resolves with its number. */
export async function probe(
  publisher: Publisher,
  subjects: Subjects,
  stream: Stream,
  nowMs: number,
): Promise<number> {
  const id = publisher.nextId();
  const { sequence } = await publisher.publish({
    subject: subjects.storedOf(stream.set, stream.partition, NO_ROOM, undefined),
    headers: ownHeaders({ time: nowMs, origin: undefined, key: undefined, id }),
    data: NIL,
    stream: stream.name,
  });
  return sequence;
}

const NIL = Uint8Array.of(0xc0);
