/** A process of subscribers, as a child of a bench: does what it is told over IPC, and ends with its parent. */
import { answerParent } from "../support/child.js";
import { Audience, type AudiencePlan, type AudienceSeen } from "./audience.js";

export type AudienceRequest =
  | { readonly kind: "open"; readonly plan: AudiencePlan }
  | { readonly kind: "connect"; readonly upTo: number; readonly deadlineMs: number }
  | { readonly kind: "reach"; readonly head: number; readonly deadlineMs: number }
  /** With the number of updates of each symbol so far. */
  | { readonly kind: "behind"; readonly updates: readonly number[] }
  | { readonly kind: "seen" };

export type AudienceReply =
  | { readonly kind: "done" }
  /** How many are subscribed; what went wrong where it is not all. */
  | { readonly kind: "connected"; readonly live: number; readonly seen: AudienceSeen }
  /** How many do not have the message. */
  | { readonly kind: "reached"; readonly missing: number }
  | { readonly kind: "behind"; readonly behind: number }
  | { readonly kind: "seen"; readonly seen: AudienceSeen };

let audience: Audience | undefined;

async function answer(request: AudienceRequest): Promise<AudienceReply> {
  if (request.kind === "open") {
    audience = new Audience(request.plan);
    return { kind: "done" };
  }
  if (audience === undefined) throw new Error(`${request.kind} before open`);
  switch (request.kind) {
    case "connect": {
      const live = await audience.connect(request.upTo, request.deadlineMs);
      return { kind: "connected", live, seen: audience.seen() };
    }
    case "reach":
      return { kind: "reached", missing: await audience.reach(request.head, request.deadlineMs) };
    case "behind":
      return { kind: "behind", behind: audience.behind(request.updates) };
    case "seen":
      return { kind: "seen", seen: audience.seen() };
  }
}

answerParent<AudienceRequest, AudienceReply>(answer, () => process.exit(0));
