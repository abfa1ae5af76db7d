import { BadOption } from "../../support/scenario.js";
import { Fleet, type FleetOptions } from "../fleet.js";
import { isLoopback, parseFleet } from "./address.js";
import { readSecret } from "./secret.js";

/** Options of scenarios whose clients may be elsewhere. */
export const FLEET_OPTIONS = {
  fleet: { default: "", help: 'clients at "fanwire bench agent"s instead of here: HOST:PORT,HOST:PORT' },
  "secret-file": { default: "", help: "file with the agents' secret; default: FANWIRE_BENCH_SECRET" },
} as const;

export interface FleetWish {
  readonly fleet: string;
  readonly "secret-file": string;
}

/**
 * The fleet that the options name; undefined where they name none. `host`: where the engine is.
 * @throws BadOption for addresses and secrets that cannot be, FleetError where an agent cannot be had.
 */
export async function openFleet(
  wish: FleetWish,
  host: string,
  connections: number,
  options: FleetOptions = {},
): Promise<Fleet | undefined> {
  if (wish.fleet === "") return undefined;
  const addresses = parseFleet(wish.fleet);
  const away = addresses.find((address) => !isLoopback(address.host));
  if (isLoopback(host) && away !== undefined)
    throw new BadOption(
      `--fleet ${away.host}:${away.port}: an agent elsewhere cannot reach ${host}; --url says where an engine is that it can`,
    );
  return await Fleet.remote(addresses, readSecret(wish["secret-file"]), connections, options);
}
