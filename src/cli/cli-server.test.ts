import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Cli, type CliOptions, fanwire, serve } from "./cli.testkit.js";

const KEY = "0123456789abcdef";
const NAMESPACES = JSON.stringify({ prices: { state: true }, cursors: { ephemeral: true }, closed: {} });

interface Line {
  readonly room: string;
  readonly offset: number;
  readonly time: number;
  readonly key?: string;
  readonly data: unknown;
}

function linesOf(stdout: string): Line[] {
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}

function dataOf(stdout: string): unknown[] {
  return linesOf(stdout).map(({ data }) => data);
}

describe("a server and its commands", () => {
  let server: Cli;
  let url = "";
  let env: Record<string, string> = {};

  before(async () => {
    const started = await serve([], { env: { FANWIRE_API_KEY: KEY, FANWIRE_NAMESPACES: NAMESPACES } });
    server = started.cli;
    url = started.url;
    env = { FANWIRE_URL: url, FANWIRE_API_KEY: KEY };
  });

  after(async () => {
    assert.equal((await server.stop()).code, 0);
  });

  const pub = (args: string[], options: CliOptions = {}) => fanwire(["pub", ...args], { env, ...options });
  const sub = (...args: string[]) => new Cli(["sub", ...args], { env });

  test("sub follows all rooms of a pattern, and refuses what it cannot promise there", async () => {
    const follower = sub("--count", "2", "wild.*");
    await follower.until("stderr", /subscribed to wild\.\*/);
    for (const room of ["wild.a", "wild.a.b", "wild.b"]) await pub([room, JSON.stringify(room)]);
    const { code, stdout } = await follower.done();
    assert.equal(code, 0);
    assert.deepEqual(
      linesOf(stdout).map(({ room, data }) => [room, data]),
      [
        ["wild.a", "wild.a"],
        ["wild.b", "wild.b"],
      ],
    );
    const refused = await sub("--last", "3", "wild.*").done();
    assert.deepEqual([refused.code, /live only/.test(refused.stderr)], [2, true]);
  });

  test("pub prints positions, sub prints messages, live", async () => {
    const follower = sub("--count", "3", "chat.a", "chat.b");
    await follower.until("stderr", /subscribed to chat\.a/);
    await follower.until("stderr", /subscribed to chat\.b/);
    const first = await pub(["chat.a", '{"text":"hé"}']);
    assert.match(first.stdout, /^[^:\n]+:1\n$/);
    await pub(["--text", "--key", "k é", "chat.b", "not json"]);
    await pub(["chat.a", "--", "-5"]);
    const { code, stdout, stderr } = await follower.done();
    assert.equal(code, 0);
    const lines = linesOf(stdout).map(({ room, offset, key, data }) => ({ room, offset, key, data }));
    assert.deepEqual(lines, [
      { room: "chat.a", offset: 1, key: undefined, data: { text: "hé" } },
      { room: "chat.b", offset: 1, key: "k é", data: "not json" },
      { room: "chat.a", offset: 2, key: undefined, data: -5 },
    ]);
    assert.ok(Math.abs((linesOf(stdout)[0]?.time ?? 0) - Date.now()) < 60_000);
    assert.match(stderr, /chat\.a: go on with --after [^:\s]+:2/);
  });

  test("lines of stdin are published in order; --last, --after and --state read them", async () => {
    const numbers = Array.from({ length: 5_000 }, (_, i) => i);
    const published = await pub(["lines"], { stdin: numbers.join("\n") });
    assert.equal(published.code, 0, published.stderr);
    assert.match(published.stdout, /^published 5000 messages in /);
    const last = await sub("--last", "900", "--count", "900", "lines").done();
    assert.deepEqual(dataOf(last.stdout), numbers.slice(-900));
    const [, epoch] = /--after (\S+):5000/.exec(last.stderr) ?? [];
    const rest = await sub("--after", `${epoch}:4998`, "--count", "2", "lines").done();
    assert.deepEqual(dataOf(rest.stdout), [4_998, 4_999]);
    const gone = sub("--after", `${epoch}:1`, "lines");
    await gone.until("stderr", /lines: continuity is lost \(expired\)/);
    assert.match((await gone.stop()).stderr, /lines: go on with --after \S+:5000/);
    for (const price of ["1", "2"])
      for (const key of ["A", "B"]) await pub(["--key", key, "prices.x", price]);
    const state = await sub("--state", "--count", "2", "prices.x").done();
    assert.deepEqual(
      linesOf(state.stdout).map(({ key, data }) => [key, data]),
      [
        ["A", 2],
        ["B", 2],
      ],
    );
  });

  test("a line goes out when it comes, not when its input ends", async () => {
    const follower = sub("--count", "1", "slow");
    await follower.until("stderr", /subscribed/);
    const publisher = new Cli(["pub", "--text", "slow"], { env });
    publisher.child.stdin?.write("now\n");
    assert.deepEqual(dataOf((await follower.done()).stdout), ["now"]);
    const { code, stdout } = await publisher.stop("SIGINT");
    assert.deepEqual([code, stdout.replace(/ in .*/s, "")], [0, "published 1 messages"]);
  });

  test("what is wrong with a line is told with its number, and the others are published", async () => {
    const long = JSON.stringify("x".repeat(2_000_000));
    const { code, stdout, stderr } = await pub(["mixed"], {
      stdin: `1\n\nhello\n"${"x".repeat(20_000)}"\r\n${long}\n{"__proto__":1}\n[2]`,
    });
    assert.equal(code, 1);
    assert.match(stdout, /^published 2 messages/);
    const told = stderr.split("\n").map((line) => line.slice(0, 24));
    assert.deepEqual(told.filter((line) => line !== "").sort(), [
      "line 3: bad_request: not",
      "line 4: too_large: data ",
      "line 5: too_large: a bod",
      "line 6: bad_request: the",
    ]);
    assert.deepEqual(dataOf((await sub("--last", "5", "--count", "2", "mixed").done()).stdout), [1, [2]]);
  });

  test("one id is stored once", async () => {
    const first = await pub(["--id", "i", "ids", "1"]);
    assert.equal((await pub(["--id", "i", "ids", "1"])).stdout, first.stdout);
  });

  test("refusals are coded and end with 1", async () => {
    const cases: [args: string[], env: Record<string, string>, stderr: RegExp][] = [
      [["pub", "a", "1"], { FANWIRE_URL: url }, /^fanwire pub: unauthenticated: writing needs an API key/],
      [["pub", "a", "1", "--api-key", "wrong"], env, /unauthenticated: the API key is not one/],
      [["pub", "a", JSON.stringify("x".repeat(20_000))], env, /too_large: data has/],
      [["sub", "--state", "chat"], env, /fanwire sub: bad_request: chat: .*no state/],
      [["sub", "--last", "1", "cursors.a"], env, /bad_request: cursors\.a: .*ephemeral/],
    ];
    for (const [args, variables, expected] of cases) {
      const { code, stderr } = await fanwire(args, { env: variables });
      assert.equal(code, 1, stderr);
      assert.match(stderr, expected);
    }
  });

  test("the address may be of either kind, and follows FANWIRE_PORT", async () => {
    const port = new URL(url).port;
    for (const given of [`ws://127.0.0.1:${port}/ws`, `http://localhost:${port}/`, `ws://127.0.0.1:${port}`])
      assert.equal((await pub(["--url", given, "addresses", "1"])).code, 0, given);
    const variables = { FANWIRE_PORT: port, FANWIRE_HOST: "0.0.0.0", FANWIRE_API_KEY: KEY };
    assert.equal((await pub(["addresses", "1"], { env: variables })).code, 0);
    assert.equal(
      (await sub("--url", `ws://127.0.0.1:${port}/ws`, "--last", "1", "--count", "1", "addresses").done())
        .code,
      0,
    );
  });

  test("a reader that is too slow is told, and where to go on behind what it got", async () => {
    const follower = sub("flood");
    const witness = sub("--count", "30000", "flood");
    for (const cli of [follower, witness]) await cli.until("stderr", /subscribed/);
    // Nobody reads what is printed, so the pipe fills up.
    follower.child.stdout?.pause();
    const line = JSON.stringify("x".repeat(100));
    await pub(["flood"], { stdin: `${line}\n`.repeat(30_000) });
    // Whoever prints all of them has more to do than one that prints nothing, so that has got them too.
    await witness.done();
    follower.child.stdout?.resume();
    const { code, stdout, stderr } = await follower.done();
    assert.equal(code, 1);
    assert.match(stderr, /overflow: /);
    const [, offset] = /flood: go on with --after [^:]+:(\d+)/.exec(stderr) ?? [];
    assert.equal(Number(offset), linesOf(stdout).at(-1)?.offset);
    assert.ok(Number(offset) < 30_000);
  });

  test("a reader that has seen enough ends sub without an error", async () => {
    const follower = sub("pipe");
    await follower.until("stderr", /subscribed/);
    follower.child.stdout?.destroy();
    for (let n = 0; n < 3 && follower.child.exitCode === null; n++) await pub(["pipe", "1"]);
    const { code, stderr } = await follower.done();
    assert.equal(code, 0);
    assert.doesNotMatch(stderr, /EPIPE|Error/);
  });
});

describe("serve", () => {
  test("warns loudly where everybody may do everything, and only there", async () => {
    const cases: [args: string[], env: Record<string, string>, warns: boolean][] = [
      [["--host", "0.0.0.0"], {}, true],
      [["--host", "0.0.0.0"], { FANWIRE_API_KEY: KEY }, false],
      [["--host", "0.0.0.0"], { FANWIRE_AUTH_SECRET: KEY.repeat(2) }, false],
      [["--host", "127.0.0.1"], {}, false],
    ];
    for (const [args, env, warns] of cases) {
      const { cli } = await serve(args, { env });
      assert.equal(/WARNING: .*EVERYBODY/.test(cli.stderr), warns, args.join(" "));
      assert.doesNotMatch(cli.stderr, new RegExp(KEY));
      assert.equal((await cli.stop("SIGINT")).code, 0);
    }
  });

  test("a port that is taken is said to be, with 1", async () => {
    const { cli, url } = await serve();
    const second = await fanwire(["serve", "--admin.port", "0", "--port", new URL(url).port]);
    assert.equal(second.code, 1);
    assert.match(second.stderr, /cannot listen on 127\.0\.0\.1:\d+: the port is taken/);
    await cli.stop();
  });

  test("sub goes on over a restart, and says what is lost", async () => {
    // Not one that the system hands out: while nothing listens there, a socket might get it to connect from.
    const port = "19110";
    const { cli, url } = await serve(["--port", port]);
    const follower = new Cli(["sub", "--url", url, "--last", "5", "--count", "2", "r"]);
    await follower.until("stderr", /subscribed to r/);
    await fanwire(["pub", "--url", url, "r", "1"]);
    await follower.until("stdout", /\n/);
    assert.equal((await cli.stop()).code, 0);
    await follower.until("stderr", /trying again until there is one/);
    const again = await serve(["--port", port]);
    await follower.until("stderr", /r: continuity is lost/);
    await fanwire(["pub", "--url", url, "r", "2"]);
    const { code, stdout } = await follower.done();
    assert.deepEqual([code, dataOf(stdout)], [0, [1, 2]]);
    await again.cli.stop();
  });
});
