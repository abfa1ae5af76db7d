import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { Cli, EMPTY_DIR, fanwire } from "./cli.testkit.js";

const COMMANDS = ["serve", "pub", "sub", "config", "doctor", "nats", "top"];

describe("help", () => {
  test("teaches every command, by any of its names", async () => {
    const help = await fanwire(["--help"]);
    assert.equal(help.code, 0);
    for (const name of COMMANDS) {
      assert.match(help.stdout, new RegExp(`^  ${name} `, "m"));
      const long = await fanwire([name, "--help"]);
      assert.deepEqual([long.code, long.stderr], [0, ""]);
      assert.match(long.stdout, new RegExp(`fanwire ${name} `));
      assert.match(long.stdout, /Exit codes: 0/);
      assert.equal((await fanwire(["help", name])).stdout, long.stdout);
    }
  });

  test("without a command help goes to stderr", async () => {
    const { code, stdout, stderr } = await fanwire([]);
    assert.deepEqual([code, stdout], [2, ""]);
    assert.match(stderr, /fanwire pub chat\.lobby/);
  });

  test("--version is that of the package", async () => {
    const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
    assert.equal((await fanwire(["--version"])).stdout, `${version}\n`);
  });
});

describe("wrong arguments end with 2 and say what is allowed", () => {
  const cases: [args: string[], stderr: RegExp][] = [
    [["srve"], /"srve" is no command; did you mean serve\?/],
    [["help", "xyz"], /"xyz" is no command/],
    [["pub"], /a ROOM is missing/],
    [["pub", "a", "b", "c"], /one DATA at a time/],
    [["pub", "a..b", "1"], /room "a\.\.b" is not a room name/],
    [
      ["pub", "chat", "hello there"],
      /"hello there" is not JSON.*\n {2}fanwire pub chat '"hello there"'\nor .*\n {2}fanwire pub --text chat 'hello there'/,
    ],
    [["pub", "chat", "{a:1}"], /DATA is not JSON: \{a:1\}\nPut it in single quotes/],
    [["pub", "--kye", "k", "chat", "1"], /unknown flag --kye; did you mean --key\?/],
    [["pub", "--id", "x", "chat"], /--id is for one DATA/],
    [["pub", "--url", "nonsense", "chat", "1"], /"nonsense" is no URL such as http:/],
    [["pub", "--url", "ftp://x", "chat", "1"], /no URL such as/],
    [["pub", "--url", "http://x/?a", "chat", "1"], /no user, query or fragment/],
    [["sub"], /a ROOM is missing/],
    [["sub", "a b"], /not a room name/],
    [["sub", "a", "--last", "0"], /--last is "0", not an integer of 1 or more/],
    [["sub", "a", "--last", "1", "--state"], /at most one of them/],
    [["sub", "a", "--after", "1"], /EPOCH:OFFSET/],
    [["sub", "a", "b", "--after", "x:1"], /a position in one room/],
    [["sub", "a", "--count", "-1"], /--count/],
    [["config", "--prot", "1"], /--prot \(flag --prot\): unknown; did you mean --port\?/],
    [["serve", "--port", "70000"], /port = 70000 \(flag --port\): allowed is integer, 0 to 65535/],
  ];
  for (const [args, expected] of cases)
    test(args.join(" "), async () => {
      const { code, stdout, stderr } = await fanwire(args);
      assert.deepEqual([code, stdout], [2, ""], stderr);
      assert.match(stderr, expected);
    });
});

describe("config", () => {
  test("prints what is effective, with secrets masked", async () => {
    const { code, stdout } = await fanwire(["config", "--limits.depth", "9"], {
      env: { FANWIRE_API_KEY: "0123456789abcdef", FANWIRE_PORT: "7" },
    });
    const { limits, port, apiKeys } = JSON.parse(stdout);
    assert.deepEqual([code, limits.depth, port, apiKeys], [0, 9, 7, ["***"]]);
  });

  test("reads the file of the working directory and tells every problem", async () => {
    const file = join(EMPTY_DIR, "problems.json");
    writeFileSync(file, '{"port":"x","hots":"y"}');
    const { code, stderr } = await fanwire(["config", "--config", file]);
    assert.equal(code, 2);
    assert.match(
      stderr,
      /2 problems .*\n {2}port = "x" \(.*problems\.json\).*\n {2}hots .*did you mean host\?/,
    );
  });

  test("--schema and --markdown list every key", async () => {
    const schema = JSON.parse((await fanwire(["config", "--schema"])).stdout);
    assert.equal(schema.properties.limits.properties.bufferBytes.default, 65_536);
    const { stdout } = await fanwire(["config", "--markdown"]);
    assert.match(stdout, /\| `limits\.bufferBytes` \| `FANWIRE_LIMITS_BUFFER_BYTES` \| `65536` \|/);
    assert.match((await fanwire(["config", "--help"])).stdout, /--limits\.buffer-bytes/);
  });
});

describe("without a server", () => {
  const url = "http://127.0.0.1:19199";

  test("pub says how to start one", async () => {
    for (const options of [{ args: ["a", "1"] }, { args: ["a"], stdin: "1\n2\n" }]) {
      const { code, stderr } = await fanwire(["pub", "--url", url, ...options.args], options);
      assert.equal(code, 1);
      assert.match(
        stderr,
        /unavailable: http:\/\/127\.0\.0\.1:19199: nothing listens there; "fanwire serve"/,
      );
    }
  });

  test("pub of lines ends at the failure, not when its input ends", async () => {
    const cli = new Cli(["pub", "--url", url, "a"]);
    cli.child.stdin?.write("1\n");
    assert.equal((await cli.done()).code, 1);
  });

  test("sub waits, tells so once, and gives up when its patience ends", async () => {
    const { code, stderr } = await fanwire(["sub", "--url", url, "--patience", "1", "a"]);
    assert.equal(code, 1);
    assert.equal(stderr.match(/trying again until there is one/g)?.length, 1, stderr);
    assert.match(stderr, /unavailable: no connection .* for 1 s/);
  });

  test("sub ends at once when it is asked to", async () => {
    const cli = new Cli(["sub", "--url", url, "a"]);
    await cli.until("stderr", /trying again/);
    assert.equal((await cli.stop("SIGINT")).code, 0);
  });
});
