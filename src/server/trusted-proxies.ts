import { type Address, type AddressBlock, isWithin, parseAddress, parseBlock } from "./address.js";

/** How proxies tell whose connection they hand on. */
export const PROXY_TELLS = ["x-forwarded-for", "forwarded", "proxy-protocol"] as const;

export interface ProxySettings {
  /** Blocks such as `10.0.0.0/8`. Nobody else is believed. */
  readonly trusted: readonly string[];
  readonly tell: (typeof PROXY_TELLS)[number];
}

/** What of a request says where it comes from. */
export interface Arrival {
  /** The other end of the TCP connection. */
  readonly peer: Address;
  /** Of the PROXY protocol's header, which uWebSockets.js takes from anybody. */
  proxied(): Address | undefined;
  /** All lines of a header, in order: with the first alone, whoever sends one of his own would be believed. */
  lines(lowerCaseName: string): readonly string[];
}

/** More are not looked at: nobody has as many proxies. */
const HOPS_MAX = 32;

/**
 * Finds the client behind proxies. Only what a trusted proxy says is believed: a list of hops is read from its end, and
 * the first that is not itself a trusted proxy is the client.
 */
export class TrustedProxies {
  readonly #blocks: readonly AddressBlock[];
  readonly #tell: ProxySettings["tell"];

  /** @throws Error where a block is none, which the configuration has checked. */
  constructor({ trusted, tell }: ProxySettings) {
    this.#tell = tell;
    this.#blocks = trusted.map((text) => {
      const block = parseBlock(text);
      if (block === undefined) throw new Error(`${text} is no address block`);
      return block;
    });
  }

  trusts(address: Address): boolean {
    return this.#blocks.some((block) => isWithin(address, block));
  }

  /** The client; the last proxy that is known where it says nothing that could be understood. */
  clientOf({ peer, proxied, lines }: Arrival): Address {
    if (this.#blocks.length === 0 || !this.trusts(peer)) return peer;
    if (this.#tell === "proxy-protocol") return proxied() ?? peer;
    const parse = this.#tell === "forwarded" ? forwardedHops : forwardedForHops;
    const hops = parse(lines(this.#tell).join(",")).slice(-HOPS_MAX);
    let client = peer;
    for (const hop of hops.reverse()) {
      const address = addressOfHop(hop);
      if (address === undefined) break;
      client = address;
      if (!this.trusts(address)) break;
    }
    return client;
  }
}

function forwardedForHops(text: string): string[] {
  return text.split(",").map((hop) => hop.trim());
}

/** RFC 7239: `for=192.0.2.43, for="[2001:db8::1]:4711";proto=https`. A hop without `for` is "". */
function forwardedHops(text: string): string[] {
  return splitOutsideQuotes(text, ",").map((element) => {
    for (const pair of splitOutsideQuotes(element, ";")) {
      const [, value] = /^\s*for\s*=\s*(.*?)\s*$/i.exec(pair) ?? [];
      if (value !== undefined) return value.replace(/^"(.*)"$/, "$1");
    }
    return "";
  });
}

function splitOutsideQuotes(text: string, separator: string): string[] {
  const parts: string[] = [];
  let [start, isQuoted] = [0, false];
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === '"') isQuoted = !isQuoted;
    else if (text[at] === "\\" && isQuoted) at += 1;
    else if (text[at] === separator && !isQuoted) {
      parts.push(text.slice(start, at));
      start = at + 1;
    }
  }
  return [...parts, text.slice(start)];
}

/** With or without a port, IPv6 in brackets or not; undefined for `unknown` and names that hide the address. */
function addressOfHop(hop: string): Address | undefined {
  const [, bracketed] = /^\[([^\]]+)\](?::\d+)?$/.exec(hop) ?? [];
  if (bracketed !== undefined) return parseAddress(bracketed);
  const [, withPort] = /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(hop) ?? [];
  return parseAddress(withPort ?? hop);
}
