import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type NatsAccess, parseServers } from "./connection.js";

/** The accounts that the project documents. */
export const ACCOUNTS_FILE = fileURLToPath(new URL("../../../scripts/nats-accounts.conf", import.meta.url));

export type AccountUser = "engine" | "provisioner" | "publisher" | "reader";

/** The environment that the file takes passwords from. */
export const ACCOUNT_PASSWORDS = {
  NATS_ENGINE_PASSWORD: "engine-secret",
  NATS_PROVISIONER_PASSWORD: "provisioner-secret",
  NATS_PUBLISHER_PASSWORD: "publisher-secret",
  NATS_READER_PASSWORD: "reader-secret",
} as const;

/** How a user of that file reaches the servers. */
export function accessAs(user: AccountUser, urls: string | readonly string[]): NatsAccess {
  const { servers } = parseServers(typeof urls === "string" ? urls : urls.join(","));
  return { servers, user, password: `${user}-secret`, inboxPrefix: `_INBOX_${user}` };
}

/** The same as flags of the command. */
export function flagsAs(user: AccountUser, url: string): string[] {
  return [
    ...["--broker", url, "--nats.user", user, "--nats.password", `${user}-secret`],
    ...["--nats.inbox-prefix", `_INBOX_${user}`],
  ];
}

/**
 * The documented file for a server that many tests share: any prefix, and whoever gives no credentials may do everything,
 * to look at things and to break them.
 * @param lines Of the account that holds the streams.
 */
export function accountsForTests(lines: string): string {
  const text = readFileSync(ACCOUNTS_FILE, "utf8")
    .replaceAll('"fw.', '"*.')
    // For one number of partitions and one prefix.
    .replaceAll(/^.*\{\{partition.*$/gm, "")
    .replace(
      "jetstream: enabled\n    users: [",
      `jetstream: enabled\n${lines}\n    users: [{ user: admin, password: admin }`,
    );
  return `${text}\nno_auth_user: admin`;
}
