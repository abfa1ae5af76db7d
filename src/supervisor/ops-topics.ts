import type { OpsConnection } from "./ops-connection.js";

/** Who is sent what is published to a topic. Pages are few: a set of them a topic is enough. */
export class OpsTopics {
  readonly #members = new Map<string, Set<OpsConnection>>();

  join(topic: string, connection: OpsConnection): void {
    const members = this.#members.get(topic) ?? new Set();
    this.#members.set(topic, members.add(connection));
  }

  leave(topic: string, connection: OpsConnection): void {
    const members = this.#members.get(topic);
    members?.delete(connection);
    if (members?.size === 0) this.#members.delete(topic);
  }

  leaveAll(connection: OpsConnection): void {
    for (const topic of [...this.#members.keys()]) this.leave(topic, connection);
  }

  publish(topic: string, bytes: Uint8Array): void {
    for (const connection of this.#members.get(topic) ?? [])
      if (connection.send(bytes) === "dropped") connection.session?.dropped();
  }
}
