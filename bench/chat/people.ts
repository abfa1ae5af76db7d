/**
 * Everybody in the chat, each with a client library's own connection, as a program would use it. What is heard is held
 * against what was said: every message of a room once, and in one order for all.
 */
import { answerParent } from "../support/child.js";
import { delay, hostMicros } from "../support/clock.js";
import { Histogram } from "../support/histogram.js";
import type { PeoplePlan, PeopleReply, PeopleRequest } from "./people-protocol.js";

interface Person {
  say(text: string): Promise<unknown>;
  leave(): void;
}

interface ClientModule {
  enter(
    where: { readonly port: number; readonly room: string; readonly folder: string },
    hear: (text: string) => void,
  ): Promise<Person>;
}

/** So many connect at a time: servers have to shake hands with each. */
const TOGETHER = 50;
const HEAR_MS = 10_000;
const POLL_MS = 20;

const plan = JSON.parse(process.argv[2] ?? "") as PeoplePlan;
const { enter } = (await import(plan.client)) as ClientModule;
const people: { readonly person: Person; readonly room: number; readonly heard: string[] }[] = [];
let ages = new Histogram();
let heard = 0;

answerParent<PeopleRequest, PeopleReply>(
  (request) => (request.kind === "enter" ? enterAll(request.people) : talk(request)),
  () => process.exit(0),
);

async function enterAll(count: number): Promise<PeopleReply> {
  while (people.length < count) {
    const numbers = Array.from(
      { length: Math.min(TOGETHER, count - people.length) },
      (_, index) => people.length + index,
    );
    people.push(
      ...(await Promise.all(
        numbers.map(async (number) => {
          const room = number % plan.rooms;
          const texts: string[] = [];
          const hear = (text: string): void => {
            texts.push(text);
            heard += 1;
            ages.record(hostMicros() - Number.parseInt(text, 10));
          };
          const where = { port: plan.port, room: `room${room}`, folder: plan.folder };
          return { person: await enter(where, hear), room, heard: texts };
        }),
      )),
    );
  }
  return { kind: "entered", people: people.length };
}

async function talk({
  seconds,
  saysPerSecond,
}: Extract<PeopleRequest, { kind: "talk" }>): Promise<PeopleReply> {
  for (const { heard: texts } of people) texts.length = 0;
  ages = new Histogram();
  heard = 0;
  const before = performance.eventLoopUtilization();
  const saying: Promise<unknown>[] = [];
  const startMs = performance.now();
  for (let said = 0; said < seconds * saysPerSecond; ) {
    const due = Math.min(
      seconds * saysPerSecond,
      Math.floor(((performance.now() - startMs) / 1_000) * saysPerSecond),
    );
    for (; said < due; said += 1) {
      const speaker = people[(said * 7_919) % people.length];
      // Due time, not the time of saying: a late client's lateness counts.
      const dueMicros = Math.trunc(
        hostMicros() - (performance.now() - startMs) * 1_000 + (said / saysPerSecond) * 1e6,
      );
      if (speaker !== undefined)
        saying.push(speaker.person.say(`${dueMicros} ${said} `.padEnd(plan.chars, "x")));
    }
    await delay(1);
  }
  await Promise.all(saying);
  const expected = saying.length * (people.length / plan.rooms);
  for (const endMs = performance.now() + HEAR_MS; heard < expected && performance.now() < endMs; )
    await delay(POLL_MS);
  const busy = performance.eventLoopUtilization(before).utilization;
  return { kind: "talked", said: saying.length, ...books(saying.length), busy };
}

type Books = Omit<Extract<PeopleReply, { kind: "talked" }>, "kind" | "said" | "busy">;

function books(said: number): Books {
  let [distinct, doubled, disordered] = [0, 0, 0];
  for (let room = 0; room < plan.rooms; room += 1) {
    const those = people.filter((person) => person.room === room).map((person) => person.heard);
    const longest = those.reduce((best, texts) => (texts.length > best.length ? texts : best), []);
    for (const texts of those) {
      const { size } = new Set(texts);
      distinct += size;
      doubled += texts.length - size;
      if (texts.some((text, index) => text !== longest[index])) disordered += 1;
    }
  }
  return {
    heard,
    missing: said * (people.length / plan.rooms) - distinct,
    doubled,
    disordered,
    p50Micros: ages.quantile(0.5),
    p99Micros: ages.quantile(0.99),
  };
}
