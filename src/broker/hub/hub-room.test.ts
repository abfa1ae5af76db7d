import assert from "node:assert/strict";
import { test } from "node:test";
import { CodedError } from "../../protocol/errors.js";
import type { Position, ResetReason } from "../../protocol/frames.js";
import { createMessage, type Message } from "../../protocol/message.js";
import { parseRoom } from "../../protocol/room-name.js";
import { HubRoom, RoomMember, type RoomPeer } from "./hub-room.js";

const ROOM = parseRoom("log.a");

/** Writes down what a room tells one worker. */
class Peer implements RoomPeer {
  readonly told: string[] = [];
  readonly replaying: RoomMember[] = [];

  deliver(record: Uint8Array): void {
    this.told.push(`message ${record[0]}`);
  }

  opened(_member: RoomMember, head: Position, lost: ResetReason | undefined): void {
    this.told.push(`opened ${show(head)}${lost === undefined ? "" : ` ${lost}`}`);
  }

  failed(_member: RoomMember, { code }: CodedError): void {
    this.told.push(`failed ${code}`);
  }

  reset(_member: RoomMember, head: Position, reason: ResetReason): void {
    this.told.push(`reset ${show(head)} ${reason}`);
  }

  checkpoint(_member: RoomMember, offset: number): void {
    this.told.push(`checkpoint ${offset}`);
  }

  replay(member: RoomMember): void {
    this.replaying.push(member);
  }
}

/** Encodes a message as its offset. */
function createRoom(): HubRoom {
  return new HubRoom(ROOM, 7, {
    encode: (_number, { offset }) => Uint8Array.of(offset),
    watched: () => {},
    lostIn: () => {},
  });
}

function join(room: HubRoom, after?: Position): Peer & { readonly member: RoomMember } {
  const peer = new Peer();
  const member = new RoomMember(peer, room, 1, after);
  room.join(member);
  return Object.assign(peer, { member });
}

function message(offset: number): Message {
  return createMessage({
    room: ROOM,
    offset,
    prev: Math.max(0, offset - 1),
    time: 1,
    data: Uint8Array.of(1),
  });
}

function at(offset: number, epoch = "e"): Position {
  return { epoch, offset };
}

function show({ epoch, offset }: Position): string {
  return `${epoch}:${offset}`;
}

test("whoever waits for the broker is answered when it has opened the room, whoever comes later at once", () => {
  const room = createRoom();
  const first = join(room);
  assert.deepEqual(first.told, []);
  room.opened(at(3));
  room.message(message(4));
  const second = join(room);
  room.message(message(5));
  assert.deepEqual(first.told, ["opened e:3", "message 4", "message 5"]);
  assert.deepEqual(second.told, ["opened e:4", "message 5"]);
});

test("what the broker hands over while it opens the room lies before the answers", () => {
  const room = createRoom();
  const first = join(room);
  const resuming = join(room, at(2));
  room.message(message(4));
  room.message(message(5));
  room.opened(at(3));
  room.message(message(6));
  assert.deepEqual(first.told, ["opened e:5", "message 6"]);
  assert.deepEqual(resuming.told, ["opened e:2"]);
  assert.deepEqual(resuming.replaying, [resuming.member]);
});

test("a reset while the broker opens the room counts, and so do messages after it", () => {
  const room = createRoom();
  const first = join(room);
  room.message(message(9));
  room.reset(ROOM, at(0, "f"), "epoch");
  room.message(message(1));
  room.opened(at(8));
  assert.deepEqual(first.told, ["opened f:1"]);
});

test("a position at the head goes on, one before it is replayed first, one of another epoch is told as lost", () => {
  const room = createRoom();
  join(room);
  room.opened(at(5));
  const current = join(room, at(5));
  const behind = join(room, at(2));
  const foreign = join(room, at(5, "old"));
  room.message(message(6));
  assert.deepEqual(current.told, ["opened e:5", "message 6"]);
  assert.deepEqual(behind.told, ["opened e:2"]);
  assert.deepEqual(foreign.told, ["opened e:5 epoch", "message 6"]);
});

test("a replayed member is live once it has all up to the head of that moment", () => {
  const room = createRoom();
  join(room);
  room.opened(at(5));
  const { member, told } = join(room, at(2));
  member.cursor = 5;
  room.message(message(6));
  assert.equal(room.caughtUp(member), false);
  member.cursor = 6;
  assert.equal(room.caughtUp(member), true);
  room.message(message(7));
  assert.deepEqual(told, ["opened e:2", "message 7"]);
});

test("a reset reaches live and replayed members alike, and all go on after it", () => {
  const room = createRoom();
  const live = join(room);
  room.opened(at(5));
  const behind = join(room, at(2));
  room.reset(ROOM, at(8), "purged");
  room.message(message(9));
  assert.deepEqual(live.told, ["opened e:5", "reset e:8 purged", "message 9"]);
  assert.deepEqual(behind.told, ["opened e:2", "reset e:8 purged", "message 9"]);
  assert.equal(behind.member.state, "live");
});

test("whoever has left gets nothing, in whatever state", () => {
  const room = createRoom();
  const waiting = join(room);
  const live = join(room);
  const other = join(room);
  room.leave(waiting.member);
  room.opened(at(5));
  const behind = join(room, at(2));
  room.leave(behind.member);
  room.leave(live.member);
  room.message(message(6));
  room.reset(ROOM, at(8), "purged");
  assert.deepEqual(waiting.told, []);
  assert.deepEqual(live.told, ["opened e:5"]);
  assert.deepEqual(behind.told, ["opened e:2"]);
  assert.deepEqual(other.told, ["opened e:5", "message 6", "reset e:8 purged"]);
  assert.equal(room.isEmpty, false);
  room.leave(other.member);
  assert.equal(room.isEmpty, true);
});

test("where the broker would not open the room, all who wait are told", () => {
  const room = createRoom();
  const peers = [join(room), join(room, at(2))];
  room.failed(new CodedError("unavailable", "on purpose"));
  for (const { told, member } of peers) {
    assert.deepEqual(told, ["failed unavailable"]);
    assert.equal(member.state, "gone");
  }
});
