import type { RoomName } from "../protocol/room-name.js";
import type { HistoryReply } from "../protocol/wire.js";
import type { Broker, HistoryFrom } from "./ports.js";

/**
 * History as a client is answered: where the position asked for is gone, that is told in `lost` and the messages
 * begin at the oldest that are kept. Rejects with the broker's CodedError.
 */
export async function readHistory(
  broker: Broker,
  room: RoomName,
  from: HistoryFrom,
  limit: number,
): Promise<HistoryReply> {
  const page = await broker.history(room, from, limit);
  if (page.kind === "page") return { epoch: page.head.epoch, messages: page.messages, more: page.more };
  const oldest = await broker.history(room, "oldest", limit);
  const messages = oldest.kind === "page" ? oldest.messages : [];
  return {
    epoch: oldest.head.epoch,
    messages,
    more: oldest.kind === "page" && oldest.more,
    lost: page.reason,
  };
}
