import { type Purging, preparePurge } from "../broker/nats/purge.js";
import { CodedError } from "../protocol/errors.js";
import { parseRoom, type RoomName } from "../protocol/room-name.js";
import type { Config } from "../server/config.js";
import { natsAccessOf, provisionOptionsOf } from "../server/nats-options.js";
import { Failure, type Io, UsageError, writeLine } from "./io.js";

/** `fanwire nats purge`: the rooms stand before the flags. */
export async function purge(rooms: readonly string[], config: Config, isDry: boolean, io: Io): Promise<void> {
  if (rooms.length === 0)
    throw new UsageError("a room is missing: fanwire nats purge ROOM…, and flags behind it");
  const access = natsAccessOf(config);
  if (access === undefined) throw new UsageError(NO_SERVERS);
  const { settings, prefix, partitions } = provisionOptionsOf(config, access);
  const options = { access, settings, prefix, partitions, rooms: rooms.map(nameOf), signal: io.stop };
  const purging = await coded(preparePurge(options));
  try {
    await tell(purging, isDry, io);
  } finally {
    await purging.close();
  }
}

export const NO_SERVERS = 'broker is "memory": name the servers, for instance --broker nats://127.0.0.1:4222';

/** What goes wrong at NATS has a code, which is shown. */
export async function coded<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    throw cause instanceof CodedError ? new Failure(cause.message, cause.code) : cause;
  }
}

async function tell({ rooms, apply }: Purging, isDry: boolean, io: Io): Promise<void> {
  for (const { room, stream, messages, upTo } of rooms) {
    const what =
      upTo === 0 ? `nothing stored in ${stream}` : `${count(messages)} in ${stream}, up to offset ${upTo}`;
    await writeLine(io.stdout, `${room}: ${what}`);
  }
  if (isDry) return;
  if (rooms.every(({ upTo }) => upTo === 0)) {
    await writeLine(io.stdout, "nothing to purge");
    return;
  }
  await writeLine(io.stdout, "announcing it to all nodes, which takes some seconds");
  const purged = await coded(apply());
  for (const [index, { room, upTo }] of rooms.entries())
    if (upTo > 0)
      await writeLine(
        io.stdout,
        `${room}: ${count(purged[index] ?? 0)} purged; who is there was told, and so will be who resumes from before offset ${upTo}`,
      );
}

function nameOf(raw: string): RoomName {
  try {
    return parseRoom(raw);
  } catch (cause) {
    throw cause instanceof CodedError ? new UsageError(cause.message) : cause;
  }
}

function count(messages: number): string {
  return `${messages} message${messages === 1 ? "" : "s"}`;
}
