import assert from "node:assert/strict";
import { BlockList } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import {
  addressOfBytes,
  isLoopbackAddress,
  isWithin,
  keyOfAddress,
  parseAddress,
  parseBlock,
  textOfAddress,
} from "./address.js";

const hex = (text: string): string => Buffer.from(parseAddress(text) ?? []).toString("hex");

test("addresses in every spelling", () => {
  assert.equal(hex("192.0.2.1"), "00000000000000000000ffffc0000201");
  assert.equal(hex("::ffff:192.0.2.1"), hex("192.0.2.1"));
  assert.equal(hex("::FFFF:c000:201"), hex("192.0.2.1"));
  assert.equal(hex("2001:db8::1"), "20010db8000000000000000000000001");
  assert.equal(hex("2001:0DB8:0:0:0:0:0:1"), hex("2001:db8::1"));
  assert.equal(hex("::"), "0".repeat(32));
  assert.equal(hex("1::"), `0001${"0".repeat(28)}`);
  assert.equal(hex("64:ff9b::192.0.2.33"), "0064ff9b0000000000000000c0000221");
  for (const text of ["192.0.2.1", "2001:db8::1", "::", "::1", "1:0:0:2::3"])
    assert.equal(textOfAddress(parseAddress(text) ?? new Uint8Array(16)), text);
  for (const wrong of [
    "",
    "1.2.3",
    "1.2.3.4.5",
    "01.2.3.4",
    "256.1.1.1",
    "fe80::1%eth0",
    "[::1]",
    "1.2.3.4:5",
    "g::",
    ":::",
    "unknown",
  ])
    assert.equal(parseAddress(wrong), undefined, wrong);
});

test("any IPv6 address, compressed or not, and any IPv4 one is read back", () => {
  fc.assert(
    fc.property(fc.ipV6(), (text) => {
      const address = parseAddress(text);
      assert.ok(address !== undefined);
      const full = Buffer.from(address)
        .toString("hex")
        .replace(/(.{4})(?!$)/g, "$1:");
      assert.deepEqual(parseAddress(full), address);
      const canonical = new URL(`http://[${text}]/`).hostname.slice(1, -1);
      assert.deepEqual(parseAddress(canonical), address);
    }),
  );
  fc.assert(
    fc.property(fc.ipV4(), (text) => {
      const address = parseAddress(text);
      assert.deepEqual(address && [...address.slice(12)].join("."), text);
    }),
  );
});

test("a key is one of an IPv4 address, and of a /64 of IPv6, whatever form the socket gives it in", () => {
  const key = (text: string) => keyOfAddress(parseAddress(text) ?? assert.fail());
  assert.equal(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff:ffff:ffff:ffff"));
  assert.notEqual(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
  assert.notEqual(key("192.0.2.1"), key("192.0.2.2"));
  const four = addressOfBytes(Uint8Array.of(192, 0, 2, 1));
  assert.equal(four && keyOfAddress(four), key("::ffff:192.0.2.1"));
  assert.equal(addressOfBytes(new Uint8Array(0)), undefined);
});

test("blocks hold what Node's own lists hold", () => {
  fc.assert(
    fc.property(fc.ipV4(), fc.nat(32), fc.ipV4(), (base, bits, other) => {
      const list = new BlockList();
      list.addSubnet(base, bits);
      const block = parseBlock(`${base}/${bits}`);
      for (const text of [other, base, base.replace(/\d+$/, "7")])
        assert.equal(block && isWithin(parseAddress(text) ?? assert.fail(), block), list.check(text));
    }),
  );
  fc.assert(
    fc.property(fc.ipV6(), fc.nat(128), fc.ipV6(), (base, bits, other) => {
      const list = new BlockList();
      list.addSubnet(base, bits, "ipv6");
      const block = parseBlock(`${base}/${bits}`);
      // Node holds mapped addresses against IPv4 blocks, too.
      if (bits < 1) return;
      assert.equal(block && isWithin(parseAddress(other) ?? assert.fail(), block), list.check(other, "ipv6"));
    }),
  );
  assert.equal(parseBlock("10.0.0.0/33"), undefined);
  assert.equal(parseBlock("::/129"), undefined);
  assert.equal(parseBlock("10.0.0.0/"), undefined);
  assert.equal(parseBlock("10.0.0.0/8/8"), undefined);
  assert.equal(parseBlock("example.com"), undefined);
});

test("loopback is 127.0.0.0/8 and ::1, in any form", () => {
  for (const text of ["127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1"])
    assert.ok(isLoopbackAddress(parseAddress(text) ?? assert.fail()), text);
  for (const text of ["128.0.0.1", "::2", "::", "10.0.0.1"])
    assert.ok(!isLoopbackAddress(parseAddress(text) ?? assert.fail()), text);
});
