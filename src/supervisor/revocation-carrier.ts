import type { KeptRevocation } from "../server/auth/revocations.js";
import type { RunningBroker } from "../server/broker.js";
import type { FromChild, ToChild } from "./ipc.js";

/** A hub's side: between the supervisor and the broker that all nodes use. */
export class RevocationCarrier {
  /** What the broker says is void. */
  learn(kept: readonly KeptRevocation[]): void {
    if (kept.length > 0) tell({ kind: "learnt", kept });
  }

  /** From here on, which is before the supervisor takes the hub for ready, revocations of this node are carried to the others. */
  attach({ revoke }: Pick<RunningBroker, "revoke">): void {
    process.on("message", (message: ToChild) => {
      if (message.kind === "carry") void this.#carry(revoke, message.id, message.kept);
    });
  }

  async #carry(revoke: RunningBroker["revoke"], id: number, kept: KeptRevocation): Promise<void> {
    const problem =
      revoke === undefined
        ? "other nodes are not told: the hub was started without tokens"
        : await revoke(kept).then(
            () => undefined,
            (cause: unknown) => (cause instanceof Error ? cause.message : String(cause)),
          );
    tell({ kind: "carried", id, problem });
  }
}

function tell(message: FromChild): void {
  // An error means that the supervisor is gone, which ends this process.
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}
