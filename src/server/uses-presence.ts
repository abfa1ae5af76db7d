import type { Config } from "./config.js";

/** Whether it may be asked of any room who is in it. */
export function usesPresence({ defaults, namespaces }: Config): boolean {
  return [defaults, ...Object.values(namespaces)].some(({ presence = "off" }) => presence !== "off");
}
