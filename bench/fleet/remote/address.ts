import { isIPv6 } from "node:net";
import { BadOption } from "../../support/scenario.js";

export interface AgentAddress {
  readonly host: string;
  readonly port: number;
}

/** HOST:PORT, or [HOST]:PORT for IPv6. @throws BadOption that names the option. */
export function parseAddress(option: string, text: string, portMin = 1): AgentAddress {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text.trim());
  const [, six, other, digits] = match ?? [];
  const host = six ?? other;
  const port = Number(digits);
  const isHost = six === undefined ? host !== undefined : isIPv6(six);
  if (host !== undefined && isHost && port >= portMin && port <= 65_535) return { host, port };
  throw new BadOption(`--${option} ${JSON.stringify(text)}: HOST:PORT is needed, such as 10.0.0.7:7000`);
}

/** Addresses parted by commas. @throws BadOption */
export function parseFleet(text: string): AgentAddress[] {
  return text.split(",").map((part) => parseAddress("fleet", part));
}

/** Whether only this machine can reach it. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}
