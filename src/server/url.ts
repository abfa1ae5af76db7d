import type { Config } from "./config-schema.js";

/** Such as `http://127.0.0.1:9001`, without a slash at the end. */
export function urlOf({ host, tls }: Pick<Config, "host" | "tls">, port: number): string {
  return `${tls.cert === "" ? "http" : "https"}://${host.includes(":") ? `[${host}]` : host}:${port}`;
}
