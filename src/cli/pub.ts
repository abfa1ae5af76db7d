import { CodedError } from "../protocol/errors.js";
import { parseRoom } from "../protocol/room-name.js";
import { type Api, positionText, postJson } from "./api.js";
import { serverUrl } from "./endpoint.js";
import { parseFlags, SERVER_FLAGS } from "./flags.js";
import { type Command, type ExitCode, type Io, UsageError, writeLine } from "./io.js";
import { isJson, type LineOptions, pubLines } from "./pub-lines.js";

const HELP = `Publishes to a room, over HTTP.

  fanwire pub ROOM DATA        one message; prints its position EPOCH:OFFSET
  fanwire pub ROOM             one message a line of stdin

  fanwire pub chat.lobby '{"text":"hello"}'
  fanwire pub --text chat.lobby hello
  fanwire pub --key EURUSD market.fx 1.0842
  tail -f readings.jsonl | fanwire pub sensors.roof

DATA is JSON: text needs quotes of its own ('"hello"'), unless --text says that it is text as it stands.

Flags:
  --text           DATA, or each line, is text
  --key KEY        the part of the room's state that this replaces
  --id ID          idempotency: within two minutes one id is stored once, however often it is sent
  --url URL        the server [FANWIRE_URL, default http://127.0.0.1:9001]
  --api-key KEY    [FANWIRE_API_KEY]

What is wrong with a line is told on stderr with its number, and the others are published.
Exit codes: 0 all published, 1 something was not, 2 wrong arguments.
`;

const FLAGS = {
  ...SERVER_FLAGS,
  text: { type: "boolean" },
  key: { type: "string" },
  id: { type: "string" },
} as const;

export const pub: Command = {
  name: "pub",
  summary: "publish a message, or one a line of stdin",
  help: () => HELP,
  run: async (args, io) => {
    const { values, positionals } = parseFlags(args, FLAGS);
    const [name, data, ...more] = positionals;
    if (name === undefined) throw new UsageError("a ROOM is missing: fanwire pub ROOM DATA");
    if (more.length > 0) throw new UsageError(`one DATA at a time: put it in quotes, such as '{"a":1}'`);
    const room = roomOf(name);
    const api: Api = {
      url: serverUrl(values.url, io.env),
      apiKey: values["api-key"] ?? (io.env.FANWIRE_API_KEY || undefined),
    };
    const options = { room, key: values.key, text: values.text ?? false };
    if (data !== undefined) return pubOne(api, { ...options, data, id: values.id }, io);
    if (values.id !== undefined) throw new UsageError("--id is for one DATA, not for lines of stdin");
    return pubLines(api, options, io);
  },
};

async function pubOne(
  api: Api,
  { room, key, text, data, id }: LineOptions & { readonly data: string; readonly id: string | undefined },
  io: Io,
): Promise<ExitCode> {
  const json = text ? JSON.stringify(data) : checkedJson(data, room);
  const headers = {
    ...(key !== undefined && { "fanwire-key": encodeURIComponent(key) }),
    ...(id !== undefined && { "idempotency-key": id }),
  };
  const position = await postJson(api, `/v1/rooms/${encodeURIComponent(room)}/messages`, json, headers);
  await writeLine(io.stdout, positionText(position));
  return 0;
}

function roomOf(name: string): string {
  try {
    return parseRoom(name);
  } catch (cause) {
    throw cause instanceof CodedError ? new UsageError(cause.message) : cause;
  }
}

function checkedJson(data: string, room: string): string {
  if (isJson(data)) return data;
  if (!/^[[{"]/.test(data.trim()))
    throw new UsageError(
      `${JSON.stringify(data)} is not JSON. Text needs quotes of its own:\n` +
        `  fanwire pub ${room} '${JSON.stringify(data)}'\nor say that it is text:\n` +
        `  fanwire pub --text ${room} ${shellWord(data)}`,
    );
  throw new UsageError(
    `DATA is not JSON: ${data}\nPut it in single quotes, so that the shell leaves it alone: '{"a":1}'`,
  );
}

function shellWord(text: string): string {
  return /^[\w.,:/@+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
