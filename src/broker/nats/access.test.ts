import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { encode } from "@msgpack/msgpack";
import { nkeys } from "@nats-io/transport-node";
import { CodedError } from "../../protocol/errors.js";
import { parseRoom } from "../../protocol/room-name.js";
import { CertificateMaker } from "./certificates.testkit.js";
import { type NatsAccess, NatsLink, parseServers } from "./connection.js";
import { CONFORMANCE_NAMESPACES } from "./nats-broker.testkit.js";
import { freePorts, NatsServer } from "./nats-server.testkit.js";
import { startNatsBroker } from "./start.js";
import { operatorMode } from "./user-jwt.testkit.js";

/** What is lasting must be told long before this. */
const DEADLINE_MS = 30_000;

describe("credentials", () => {
  test("user and password, and which server of several answers does not matter", async (t) => {
    const server = await start(t, 'authorization { user: "fan", password: "s3cret" }');
    const [nobody = 0] = await freePorts(1);
    const servers = [`127.0.0.1:${nobody}`, `127.0.0.1:${server.port}`];
    await serves(t, { servers, user: "fan", password: "s3cret" });
    await refused(
      { servers, user: "fan", password: "wrong" },
      "unauthenticated",
      /the server refuses user "fan": check nats\.user and nats\.password \(Authorization Violation\)/i,
    );
    await refused(
      { servers },
      "unauthenticated",
      /wants credentials: set nats\.user and nats\.password, nats\.token, nats\.nkeyFile or nats\.credsFile/,
    );
  });

  test("a token", async (t) => {
    const server = await start(t, 'authorization { token: "tok3n" }');
    await serves(t, { servers: [`127.0.0.1:${server.port}`], token: "tok3n" });
    await refused(
      { servers: [`127.0.0.1:${server.port}`], token: "other" },
      "unauthenticated",
      /refuses the token: check nats\.token/,
    );
  });

  test("an nkey", async (t) => {
    const files = await CertificateMaker.create(t);
    const user = nkeys.createUser();
    const server = await start(t, `authorization { users: [{ nkey: ${user.getPublicKey()} }] }`);
    const servers = [`127.0.0.1:${server.port}`];
    const seed = (pair: typeof user): string => `${new TextDecoder().decode(pair.getSeed())}\n`;
    await serves(t, { servers, nkeyFile: await files.file("user.nk", seed(user)) });
    const other = await files.file("other.nk", seed(nkeys.createUser()));
    await refused({ servers, nkeyFile: other }, "unauthenticated", /refuses the nkey of .*other\.nk/);
    for (const [name, text] of [
      ["broken.nk", "SUAnothing"],
      ["account.nk", seed(nkeys.createAccount())],
    ] as const) {
      const nkeyFile = await files.file(name, text);
      await refused(
        { servers, nkeyFile },
        "bad_request",
        /nats\.nkeyFile .*\.nk has no valid seed of a user/,
      );
    }
    await refused({ servers, nkeyFile: "/nowhere.nk" }, "bad_request", /nats\.nkeyFile \/nowhere\.nk cannot/);
  });

  test("a credentials file of operator mode", async (t) => {
    const files = await CertificateMaker.create(t);
    const { config, creds } = operatorMode();
    const server = await start(t, config);
    const servers = [`127.0.0.1:${server.port}`];
    await serves(t, { servers, credsFile: await files.file("engine.creds", creds) });
    const stranger = await files.file("stranger.creds", operatorMode().creds);
    await refused({ servers, credsFile: stranger }, "unauthenticated", /credentials of .*stranger\.creds/);
    const half = await files.file("half.creds", creds.slice(0, creds.indexOf("*****")));
    await refused({ servers, credsFile: half }, "bad_request", /half\.creds has no user JWT followed by/);
    const seedless = await files.file("seed.creds", creds.replace(/\nSU\w+/, "\nSUnothing"));
    await refused({ servers, credsFile: seedless }, "bad_request", /nats\.credsFile .* no valid seed/);
  });
});

test("credentials that have expired are refused as such", async (t) => {
  const files = await CertificateMaker.create(t);
  const { config, creds } = operatorMode(Date.now() - 30_000);
  const server = await start(t, config);
  const credsFile = await files.file("old.creds", creds);
  const servers = [`127.0.0.1:${server.port}`];
  await refused({ servers, credsFile }, "unauthenticated", /old\.creds: .* that they have not expired/);
});

describe("TLS", () => {
  test("with an authority of one's own and a certificate of the client, by address and by name", async (t) => {
    const { files, ca, server } = await secured(t, "verify: true");
    const client = await files.signed("client", ca);
    const tls = { caFile: ca.cert, certFile: client.cert, keyFile: client.key };
    for (const host of ["127.0.0.1", "localhost"])
      await serves(t, { servers: [`${host}:${server.port}`], tls });
    const servers = [`127.0.0.1:${server.port}`];
    await refused(
      { servers, tls: { caFile: ca.cert } },
      "unauthenticated",
      /wants a certificate of its clients: set nats\.certFile and nats\.keyFile/,
    );
    const stranger = await files.signed("stranger", await files.authority("strangers"));
    await refused(
      { servers, tls: { caFile: ca.cert, certFile: stranger.cert, keyFile: stranger.key } },
      "unauthenticated",
      /does not trust who signed nats\.certFile/,
    );
  });

  test("a server that another authority signed is refused, and it says what to set", async (t) => {
    const { files, server } = await secured(t);
    const other = await files.authority("other");
    const servers = [`127.0.0.1:${server.port}`];
    await refused(
      { servers, tls: { caFile: other.cert } },
      "unavailable",
      /no authority of .*other\.pem signed the server's certificate: check nats\.caFile/,
    );
    for (const access of [{ servers }, parseServers(`tls://${servers[0]}`)])
      await refused(access, "unavailable", /no authority of this system signed .* by nats\.caFile/);
  });

  test("a server with a certificate for another name is refused, also where it is named by its address", async (t) => {
    const { ca, server } = await secured(t, "", "DNS:nats.elsewhere");
    for (const host of ["127.0.0.1", "localhost"])
      await refused(
        { servers: [`${host}:${server.port}`], tls: { caFile: ca.cert } },
        "unavailable",
        /the server's certificate is for another name/,
      );
  });

  test("a server whose certificate is for its address alone is taken by that address", async (t) => {
    const { ca, server } = await secured(t, "", "IP:127.0.0.1");
    const [nobody = 0] = await freePorts(1);
    const servers = [`127.0.0.2:${nobody}`, `127.0.0.1:${server.port}`];
    await serves(t, { servers, tls: { caFile: ca.cert } });
  });

  test("a server without TLS is not spoken to where TLS was asked for", async (t) => {
    const server = await start(t, "");
    await refused(
      parseServers(`tls://127.0.0.1:${server.port}`),
      "unavailable",
      /the server has no TLS: name it nats:\/\//,
    );
  });

  test("files that are not there, are something else, or do not go together are named", async (t) => {
    const files = await CertificateMaker.create(t);
    const ca = await files.authority("ca");
    const one = await files.signed("one", ca);
    const servers = ["127.0.0.1:1"];
    const cases: [NatsAccess["tls"], RegExp][] = [
      [{ caFile: "/nowhere/ca.pem" }, /nats\.caFile \/nowhere\/ca\.pem cannot be read: ENOENT/],
      [{ caFile: one.key }, /nats\.caFile .*one\.key has no PEM CERTIFICATE/],
      [{ certFile: one.cert, keyFile: one.cert }, /nats\.keyFile .*one\.pem has no PEM PRIVATE KEY/],
      [{ certFile: one.cert, keyFile: ca.key }, /nats\.keyFile do not go together: .*key values mismatch/],
    ];
    for (const [tls, text] of cases) await refused({ servers, tls }, "bad_request", text);
  });
});

/** Without the documented accounts: these tests have their own. */
async function start(t: TestContext, config: string): Promise<NatsServer> {
  const server = await NatsServer.start({ bare: true, config });
  t.after(() => server.dispose());
  return server;
}

async function secured(t: TestContext, more = "", host = "IP:127.0.0.1,DNS:localhost") {
  const files = await CertificateMaker.create(t);
  const ca = await files.authority("ca");
  const own = await files.signed("server", ca, host);
  const config = `tls { cert_file: "${own.cert}", key_file: "${own.key}", ca_file: "${ca.cert}", ${more} }`;
  return { files, ca, server: await start(t, config) };
}

/** A node starts, stores a message, and reads it back over its second connection. */
async function serves(t: TestContext, access: NatsAccess): Promise<void> {
  const node = await startNatsBroker({ access, settings: CONFORMANCE_NAMESPACES, partitions: 1 });
  t.after(() => node.stop(0));
  const room = parseRoom("log.a");
  const { offset } = await node.publish({ room, data: encode("stored") });
  const page = await node.history(room, { last: 1 }, 1);
  assert.ok(page.kind === "page");
  assert.equal(page.messages[0]?.offset, offset);
  await node.stop(1_000);
}

/** At once, and without any secret in the text. */
async function refused(access: NatsAccess, code: string, text: RegExp): Promise<void> {
  const begun = Date.now();
  const outcome = await NatsLink.open(access, "test", {}, DEADLINE_MS).catch((cause: unknown) => cause);
  if (outcome instanceof NatsLink) await outcome.close();
  assert.ok(outcome instanceof CodedError, String(outcome));
  assert.deepEqual([outcome.code, text.test(outcome.message)], [code, true], outcome.message);
  for (const secret of [access.password, access.token])
    assert.ok(secret === undefined || !outcome.message.includes(secret), outcome.message);
  assert.ok(Date.now() - begun < DEADLINE_MS / 2, "it was not tried until the deadline");
}
