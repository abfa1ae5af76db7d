import assert from "node:assert/strict";
import { test } from "node:test";
import { type Address, parseAddress } from "./address.js";
import { type ProxySettings, TrustedProxies } from "./trusted-proxies.js";

const address = (text: string): Address => parseAddress(text) ?? assert.fail(text);

interface Case {
  readonly what: string;
  readonly tell: ProxySettings["tell"];
  readonly peer: string;
  readonly lines?: Readonly<Record<string, readonly string[]>>;
  readonly proxied?: string;
  readonly client: string;
}

const TRUSTED = ["10.0.0.0/8", "2001:db8:ffff::/48"];

const CASES: readonly Case[] = [
  {
    what: "a stranger's header is nothing",
    tell: "x-forwarded-for",
    peer: "203.0.113.9",
    lines: { "x-forwarded-for": ["198.51.100.1"] },
    client: "203.0.113.9",
  },
  {
    what: "a stranger's PROXY header is nothing",
    tell: "proxy-protocol",
    peer: "203.0.113.9",
    proxied: "198.51.100.1",
    client: "203.0.113.9",
  },
  {
    what: "what the proxy says counts",
    tell: "x-forwarded-for",
    peer: "10.0.0.1",
    lines: { "x-forwarded-for": ["198.51.100.1"] },
    client: "198.51.100.1",
  },
  {
    what: "what the client put before it does not",
    tell: "x-forwarded-for",
    peer: "10.0.0.1",
    lines: { "x-forwarded-for": ["127.0.0.1, 10.0.0.7, 198.51.100.1"] },
    client: "198.51.100.1",
  },
  {
    what: "nor in a line of its own, as HAProxy leaves it",
    tell: "x-forwarded-for",
    peer: "10.0.0.1",
    lines: { "x-forwarded-for": ["192.0.2.200", "198.51.100.1"] },
    client: "198.51.100.1",
  },
  {
    what: "over a chain of proxies",
    tell: "x-forwarded-for",
    peer: "10.0.0.1",
    lines: { "x-forwarded-for": ["1.1.1.1, 198.51.100.1, 10.1.2.3, 2001:db8:ffff::7"] },
    client: "198.51.100.1",
  },
  {
    what: "with ports and brackets",
    tell: "x-forwarded-for",
    peer: "2001:db8:ffff::1",
    lines: { "x-forwarded-for": ["[2001:db8::9]:4711"] },
    client: "2001:db8::9",
  },
  {
    what: "an IPv4 address with a port",
    tell: "x-forwarded-for",
    peer: "10.0.0.1",
    lines: { "x-forwarded-for": ["198.51.100.1:4711"] },
    client: "198.51.100.1",
  },
  {
    what: "garbage beside the proxy: the proxy",
    tell: "x-forwarded-for",
    peer: "10.0.0.1",
    lines: { "x-forwarded-for": ["198.51.100.1, garbage"] },
    client: "10.0.0.1",
  },
  {
    what: "an empty hop ends the search",
    tell: "x-forwarded-for",
    peer: "10.0.0.1",
    lines: { "x-forwarded-for": ["198.51.100.1,"] },
    client: "10.0.0.1",
  },
  { what: "no header: the proxy", tell: "x-forwarded-for", peer: "10.0.0.1", client: "10.0.0.1" },
  {
    what: "the other header is not read",
    tell: "x-forwarded-for",
    peer: "10.0.0.1",
    lines: { forwarded: ["for=198.51.100.1"] },
    client: "10.0.0.1",
  },
  {
    what: "Forwarded, with everything that may stand in it",
    tell: "forwarded",
    peer: "10.0.0.1",
    lines: {
      forwarded: [
        'for=1.1.1.1, For="[2001:db8::9]:4711";proto=https;by="a,b;for=6.6.6.6"',
        "proto=http;for=10.2.2.2",
      ],
    },
    client: "2001:db8::9",
  },
  {
    what: "Forwarded that hides the client",
    tell: "forwarded",
    peer: "10.0.0.1",
    lines: { forwarded: ["for=198.51.100.1, for=_hidden"] },
    client: "10.0.0.1",
  },
  {
    what: "Forwarded whose quotes do not end swallows the rest, and nobody before it is believed",
    tell: "forwarded",
    peer: "10.0.0.1",
    lines: { forwarded: ['for="1.1.1.1', "for=198.51.100.1"] },
    client: "10.0.0.1",
  },
  {
    what: "a PROXY header of a trusted proxy",
    tell: "proxy-protocol",
    peer: "10.0.0.1",
    proxied: "198.51.100.1",
    lines: { "x-forwarded-for": ["6.6.6.6"] },
    client: "198.51.100.1",
  },
  { what: "none of one", tell: "proxy-protocol", peer: "10.0.0.1", client: "10.0.0.1" },
];

test("who the client is", async (t) => {
  for (const { what, tell, peer, lines = {}, proxied, client } of CASES)
    await t.test(what, () => {
      const proxies = new TrustedProxies({ trusted: TRUSTED, tell });
      const found = proxies.clientOf({
        peer: address(peer),
        proxied: () => (proxied === undefined ? undefined : address(proxied)),
        lines: (name) => lines[name] ?? [],
      });
      assert.deepEqual(found, address(client));
    });
});

test("with no proxy configured nobody's header is looked at", () => {
  const proxies = new TrustedProxies({ trusted: [], tell: "x-forwarded-for" });
  const lines = () => assert.fail("looked at");
  assert.deepEqual(
    proxies.clientOf({ peer: address("10.0.0.1"), proxied: lines, lines }),
    address("10.0.0.1"),
  );
});

test("a header of 10,000 hops costs no more than the last of them", () => {
  const proxies = new TrustedProxies({ trusted: ["10.0.0.0/8"], tell: "x-forwarded-for" });
  const hops = Array.from({ length: 10_000 }, () => "10.0.0.2").join(",");
  const found = proxies.clientOf({
    peer: address("10.0.0.1"),
    proxied: () => undefined,
    lines: () => [`198.51.100.1,${hops}`],
  });
  assert.deepEqual(found, address("10.0.0.2"));
});
