/** What the bench asks of the process with the people of the chat, and what that answers. */
export type PeopleRequest =
  | { readonly kind: "enter"; readonly people: number }
  | { readonly kind: "talk"; readonly seconds: number; readonly saysPerSecond: number };

export type PeopleReply =
  | { readonly kind: "entered"; readonly people: number }
  | {
      readonly kind: "talked";
      /** Acknowledged by the server. */
      readonly said: number;
      /** Heard by everybody in the speaker's room, the speaker too. */
      readonly heard: number;
      readonly missing: number;
      readonly doubled: number;
      /** Heard in another order than by whoever heard the most of that room. */
      readonly disordered: number;
      /** From before the say until it was heard. */
      readonly p50Micros: number;
      readonly p99Micros: number;
      /** Share of the time that this process was busy, 0 to 1. */
      readonly busy: number;
    };

export interface PeoplePlan {
  /** The module that is measured: `enter` of it. */
  readonly client: string;
  readonly port: number;
  /** Where its packages are installed. */
  readonly folder: string;
  readonly rooms: number;
  /** Characters of what is said. */
  readonly chars: number;
}
