import type { Config } from "../config.js";

/** Whether tokens are asked for. */
export function usesTokens({ auth }: Pick<Config, "auth">): boolean {
  return auth.secret !== "" || auth.keyFile !== "" || auth.jwksUrl !== "";
}
