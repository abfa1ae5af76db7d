/**
 * A client process of the fleet. Runs as a child of a bench, does what it is told over IPC, and ends with its parent.
 * At most 19,000 connections (the host allows 20,000 files a process).
 */
import { answerParent } from "../support/child.js";
import { followClock } from "../support/clock.js";
import type { AgentReply, AgentRequest } from "./agent-protocol.js";
import { Crowd } from "./crowd.js";

let crowd: Crowd | undefined;

function answer(request: AgentRequest): AgentReply {
  if (request.kind === "clock") {
    followClock(request.offsetMicros);
    return { kind: "done" };
  }
  if (request.kind === "connect") {
    if (crowd !== undefined) throw new Error("disconnect first");
    crowd = new Crowd(request.assignment);
    return { kind: "done" };
  }
  if (crowd === undefined) throw new Error(`${request.kind} before connect`);
  switch (request.kind) {
    case "pace":
      crowd.setPace(request.pace);
      return { kind: "done" };
    case "status":
      return { kind: "status", status: crowd.status(request.heads) };
    case "phase":
      return { kind: "phase", tally: crowd.phase() };
    case "cut":
      return { kind: "cut", connections: crowd.cut(request.connections) };
    case "dismiss":
      return { kind: "dismiss", connections: crowd.dismiss(request.nodes) };
    case "release":
      crowd.release();
      return { kind: "done" };
    case "subscribe":
      crowd.subscribe();
      return { kind: "done" };
    case "disconnect":
      crowd.disconnect();
      crowd = undefined;
      return { kind: "done" };
  }
}

answerParent<AgentRequest, AgentReply>(
  async (request) => answer(request),
  () => process.exit(0),
);
