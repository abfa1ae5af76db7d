import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { shippedNodeArgs } from "../support/node-args.js";
import { splitArgs } from "../support/scenario.js";
import { acceptOfKey } from "../support/websocket.js";
import type { DialectName } from "./dialects.js";
import {
  type Feed,
  fanwireBoardFeed,
  fanwireFeed,
  mqttFeed,
  natsFeed,
  nchanFeed,
  soketiFeed,
} from "./feeds.js";
import { type Need, PEERS_FOLDER } from "./install.js";

/** What a peer's server is started with. */
export interface Ground {
  /** Where {@link Need} was installed. */
  readonly folder: string;
  /** Empty, the server's own. */
  readonly work: string;
  /** Two free ports, for servers that do not choose one themselves. */
  readonly port: number;
  readonly feedPort: number;
  /** Clients that will come. */
  readonly connections: number;
}

export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** How the server says that it listens: a line of JSON with its port (servers/feed.mjs), a line like this, or by taking connections. */
  readonly ready: "line" | RegExp | "listening";
  /** How messages get in; undefined: over standard input. */
  readonly feed?: (ground: Ground) => Promise<Feed>;
}

/** A broadcast server that is measured beside fanwire. */
export interface Peer {
  readonly name: string;
  /** What it is, for the table. */
  readonly label: string;
  readonly need: Need;
  readonly dialect: DialectName;
  readonly launch: (ground: Ground) => Launch;
}

/** The ratio of all others is to this one. */
export const LIMIT = "limit";

const NONE: Need = { kind: "none" };
const LIMIT_NEED: Need = { kind: "cc", source: "limit.c" };
const SOCKET_IO: Need = { kind: "npm", packages: ["socket.io", "socket.io-msgpack-parser"] };

export const PEERS: readonly Peer[] = [
  limit(LIMIT, "C and epoll, a batch in one write: the limit", []),
  limit("limit-each", "C and epoll, a write a message", ["--each"]),
  {
    name: "fanwire",
    label: "fanwire: numbered, kept, resumable",
    need: NONE,
    dialect: "fanwire",
    launch: fanwire,
  },
  ours("uws-packed", "uWebSockets.js, a batch in one message", "uws.mjs --packed"),
  ours("uws", "uWebSockets.js, a publish a message", "uws.mjs"),
  {
    name: "bun",
    label: "Bun, server.publish",
    need: { kind: "npm", packages: ["bun"] },
    dialect: "plain",
    launch: ({ folder }) => ({
      command: join(folder, "node_modules/@oven", `bun-linux-${ARCH.bun}`, "bin/bun"),
      args: [join(SERVERS, "bun.mjs")],
      ready: "line",
    }),
  },
  ours("socket.io-uws", "Socket.IO on uWebSockets.js", "socket-io.mjs --uws", "socket.io", SOCKET_IO),
  {
    name: "colyseus",
    label: "Colyseus on uWebSockets.js",
    need: {
      kind: "npm",
      packages: ["@colyseus/core", "@colyseus/schema", "@colyseus/uwebsockets-transport", "uWebSockets.js"],
    },
    dialect: "colyseus",
    launch: (ground) => nodeServer(["colyseus.mjs"], ground),
  },
  ours("ws-corked", "ws, one frame for all, a batch in one write", "ws.mjs --corked"),
  ours("ws-prepared", "ws, one frame for all, a write a message", "ws.mjs --prepared"),
  ours("ws", "ws, send for each client", "ws.mjs"),
  ours("socket.io", "Socket.IO", "socket-io.mjs", "socket.io", SOCKET_IO),
  ours(
    "socket.io-msgpack",
    "Socket.IO, msgpack parser",
    "socket-io.mjs --msgpack",
    "socket.io-msgpack",
    SOCKET_IO,
  ),
  {
    name: "nats-server",
    label: "nats-server, its WebSocket",
    need: { kind: "debian", packages: ["nats-server"], program: "/usr/sbin/nats-server" },
    dialect: "nats",
    launch: natsServer,
  },
  {
    name: "nchan",
    label: "nginx with nchan",
    need: {
      kind: "debian",
      packages: ["nginx", "libnginx-mod-nchan"],
      // The module insists on a folder that only an installed package has, whatever the configuration says.
      repath: {
        file: "usr/lib/nginx/modules/ngx_nchan_module.so",
        from: "/var/lib/nginx/body",
        to: "/tmp/fanwire-nchan1",
      },
    },
    dialect: "plain",
    launch: nchan,
  },
  {
    name: "mosquitto",
    label: "mosquitto, MQTT over WebSocket",
    need: {
      kind: "debian",
      packages: ["mosquitto", "libmosquitto1", "libdlt2", "libwrap0", "libcjson1"],
    },
    dialect: "mqtt",
    launch: mosquitto,
  },
  {
    name: "deno",
    label: "Deno, send for each client",
    need: { kind: "npm", packages: ["deno"] },
    dialect: "plain",
    launch: ({ folder, work }) => ({
      command: join(folder, "node_modules/@deno", `linux-${ARCH.deno}-glibc`, "deno"),
      args: ["run", "--allow-net", "--no-lock", "--no-config", join(SERVERS, "deno.mjs")],
      env: { DENO_DIR: work, DENO_NO_UPDATE_CHECK: "1" },
      ready: "line",
    }),
  },
  {
    name: "soketi",
    label: "soketi, Pusher's protocol",
    need: { kind: "npm", packages: ["@soketi/soketi"] },
    dialect: "pusher",
    launch: soketi,
  },
  ours("faye", "Faye", "faye.mjs", "faye", { kind: "npm", packages: ["faye"] }),
];

/** Market boards, see bench/board.ts: the engine, and what users of others write. */
export const BOARDS: readonly Peer[] = [
  {
    name: "fanwire",
    label: "fanwire",
    need: NONE,
    dialect: "fanwire",
    launch: (ground) => ({ ...fanwire(ground), feed: () => fanwireBoardFeed(ground.port) }),
  },
  ours("ws", "ws, send for each watcher", "board-ws.mjs"),
  ours("socket.io", "Socket.IO, a room a symbol", "board-socket-io.mjs", "socket.io", SOCKET_IO),
];

const SERVERS = join(PEERS_FOLDER, "servers");
const CLI = fileURLToPath(new URL("../../cli/main.js", import.meta.url));
/** How packages call this machine. */
const ARCH = process.arch === "arm64" ? { bun: "aarch64", deno: "arm64" } : { bun: "x64", deno: "x64" };

function limit(name: string, label: string, args: readonly string[]): Peer {
  return {
    name,
    label,
    need: LIMIT_NEED,
    dialect: "plain",
    launch: ({ folder }) => ({
      command: join(folder, "limit"),
      args: [acceptOfKey(), ...args],
      ready: "line",
    }),
  };
}

/** A program of servers/ in Node. */
function ours(
  name: string,
  label: string,
  program: string,
  dialect: DialectName = "plain",
  need = NONE,
): Peer {
  return { name, label, need, dialect, launch: (ground) => nodeServer(splitArgs(program), ground) };
}

/** Every server in Node gets the arguments that fanwire gives its workers. */
function nodeServer([file = "", ...args]: readonly string[], { folder, port, connections }: Ground): Launch {
  return {
    command: process.execPath,
    args: [...splitArgs(shippedNodeArgs()), join(SERVERS, file), ...args],
    env: { PEER_FOLDER: folder, PEER_PORT: String(port), PEER_CONNECTIONS: String(connections) },
    ready: "line",
  };
}

/** The product as it ships, with one worker; only its guard against storms of handshakes is off, as that is not the question. */
function fanwire({ port, feedPort, work }: Ground): Launch {
  const open = ["--limits.handshakes-per-second", "1000000", "--limits.handshake-lag-ms", "60000"];
  return {
    command: process.execPath,
    args: [
      ...[CLI, "serve", "--workers", "1", "--port", String(port), "--admin.port", String(feedPort)],
      ...["--limits.connections", "15000", "--log.level", "warn", "--drain-seconds", "0", ...open],
    ],
    env: { HOME: work },
    // Its port takes connections before: whether another process has it is probed.
    ready: / listens on /,
    feed: () => fanwireFeed(port),
  };
}

function natsServer({ folder, work, port, feedPort }: Ground): Launch {
  const config = join(work, "nats.conf");
  writeFileSync(
    config,
    `listen: "127.0.0.1:${feedPort}"
ping_interval: "10m"
max_connections: 100000
write_deadline: "60s"
max_pending: 256MB
websocket { listen: "127.0.0.1:${port}", no_tls: true, compression: false }
`,
  );
  return {
    command: join(folder, "usr/sbin/nats-server"),
    args: ["-c", config],
    // As many threads as it has cores here: one.
    env: { GOMAXPROCS: "1" },
    ready: "listening",
    feed: () => natsFeed(feedPort),
  };
}

function nchan({ folder, work, port }: Ground): Launch {
  const config = join(work, "nginx.conf");
  for (const name of ["body", "proxy", "fastcgi", "uwsgi", "scgi"]) mkdirSync(join(work, name));
  writeFileSync(
    config,
    `daemon off;
master_process off;
load_module ${folder}/usr/lib/nginx/modules/ngx_nchan_module.so;
error_log stderr crit;
pid ${work}/nginx.pid;
events { worker_connections 19000; }
http {
  access_log off;
  keepalive_requests 100000000;
  client_body_temp_path ${work}/body; proxy_temp_path ${work}/proxy; fastcgi_temp_path ${work}/fastcgi;
  uwsgi_temp_path ${work}/uwsgi; scgi_temp_path ${work}/scgi;
  nchan_shared_memory_size 512m;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location = / { nchan_subscriber websocket; nchan_channel_id m; nchan_subscriber_first_message newest; }
    location = /pub { nchan_publisher http; nchan_channel_id m; nchan_message_buffer_length 512; }
  }
}
`,
  );
  return {
    command: join(folder, "usr/sbin/nginx"),
    args: ["-p", work, "-c", config, "-e", "stderr"],
    ready: "listening",
    feed: () => nchanFeed(port),
  };
}

function mosquitto({ folder, work, port, feedPort }: Ground): Launch {
  const config = join(work, "mosquitto.conf");
  writeFileSync(
    config,
    `per_listener_settings false
user root
allow_anonymous true
persistence false
log_type error
set_tcp_nodelay true
max_queued_messages 0
listener ${feedPort} 127.0.0.1
listener ${port} 127.0.0.1
protocol websockets
`,
  );
  const libraries = ["x86_64-linux-gnu", "aarch64-linux-gnu"].map((name) => join(folder, "usr/lib", name));
  return {
    command: join(folder, "usr/sbin/mosquitto"),
    args: ["-c", config],
    env: { LD_LIBRARY_PATH: libraries.join(":") },
    ready: "listening",
    feed: () => mqttFeed(feedPort),
  };
}

function soketi({ folder, port, feedPort }: Ground): Launch {
  return {
    command: process.execPath,
    args: [
      ...splitArgs(shippedNodeArgs()),
      join(folder, "node_modules/@soketi/soketi/bin/server.js"),
      "start",
    ],
    env: {
      SOKETI_HOST: "127.0.0.1",
      SOKETI_PORT: String(port),
      SOKETI_METRICS_SERVER_PORT: String(feedPort),
      SOKETI_EVENT_MAX_BATCH_SIZE: "1000",
      SOKETI_DEFAULT_APP_MAX_CONNS: "-1",
    },
    ready: "listening",
    feed: async () => soketiFeed(port),
  };
}
