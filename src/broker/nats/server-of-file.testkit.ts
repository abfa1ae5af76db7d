import { after, before } from "node:test";
import { NatsAdmin } from "./nats-admin.testkit.js";
import { NatsServer, type NatsServerOptions } from "./nats-server.testkit.js";

/** What {@link serverOfFile} gives; there from the first test on. */
export interface ServerOfFile {
  readonly server: NatsServer;
  readonly admin: NatsAdmin;
}

/** One server for all tests of a file, and an administrator at it; both are gone after the last test. */
export function serverOfFile(options: NatsServerOptions = {}): ServerOfFile {
  let server: NatsServer | undefined;
  let admin: NatsAdmin | undefined;
  before(async () => {
    server = await NatsServer.start(options);
    admin = await NatsAdmin.connect(server.url);
  });
  after(async () => {
    await admin?.close();
    await server?.dispose();
  });
  return {
    get server() {
      return started(server);
    },
    get admin() {
      return started(admin);
    },
  };
}

function started<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("the server is there from the first test on");
  return value;
}
