import type { NamespaceSettings } from "./stream-plan.js";

/** Deep enough to keep all that a test publishes. */
const HISTORY = { messages: 20_000, seconds: 600 };

/** Namespaces of fault tests: plain ones, one that keeps state, and one that keeps nothing beyond what repairs need. */
export const FAULT_NAMESPACES: NamespaceSettings = {
  defaults: { history: HISTORY, state: false, ephemeral: false },
  byName: {
    keyed: { history: HISTORY, state: true, ephemeral: false },
    bare: { history: { messages: 0, seconds: 0 }, state: false, ephemeral: false },
  },
};
