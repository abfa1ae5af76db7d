import { hostMicros } from "./clock.js";

/** What a publisher is to do in one window. */
export interface PublishPlan {
  readonly rooms: number;
  /** Number of the first of them. Default: 0. */
  readonly firstRoom?: number;
  /** Messages a second in each room. */
  readonly rate: number;
  /** How many of them at once. */
  readonly burst: number;
  readonly seconds: number;
  /** Bytes of a message's data. */
  readonly bytes: number;
}

/** One thing to do: `burst` messages into a room, at a time fixed beforehand. */
export interface Shot {
  readonly dueMicros: number;
  readonly room: number;
}

/** How many messages the plan publishes in each room. */
export function messagesPerRoom(plan: PublishPlan): number {
  return shotsPerRoom(plan) * plan.burst;
}

/** From one shot into a room to the next one into it. */
export function shotMicros({ burst, rate }: PublishPlan): number {
  return (1_000_000 * burst) / rate;
}

/** Every shot of the plan in order of time; the rooms take turns evenly, so that they do not fire at once. */
export function planShots(plan: PublishPlan, startMicros: number): Shot[] {
  const { rooms, firstRoom = 0 } = plan;
  const interval = shotMicros(plan);
  const shots: Shot[] = [];
  for (let turn = 0; turn < shotsPerRoom(plan); turn++) {
    for (let room = 0; room < rooms; room++) {
      shots.push({ dueMicros: startMicros + (turn + room / rooms) * interval, room: firstRoom + room });
    }
  }
  return shots;
}

/**
 * Fires every shot at its time or, when late, at once: an open loop, which no slow receiver slows down. Lateness is
 * not forgotten, as shots carry the time they were due. Timers have 1 ms; a shot is at most that late on an idle loop.
 */
export function runShots(shots: readonly Shot[], fire: (shot: Shot) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    let next = 0;
    const step = (): void => {
      try {
        const now = hostMicros();
        for (let shot = shots[next]; shot !== undefined && shot.dueMicros <= now; shot = shots[next]) {
          next += 1;
          fire(shot);
        }
      } catch (cause) {
        reject(cause);
        return;
      }
      const shot = shots[next];
      if (shot === undefined) resolve();
      else setTimeout(step, Math.max(0, (shot.dueMicros - hostMicros()) / 1_000));
    };
    step();
  });
}

function shotsPerRoom(plan: PublishPlan): number {
  return Math.max(1, Math.round((plan.seconds * plan.rate) / plan.burst));
}
