/** The part of autocannon that the benches use; the package brings no types of its own. */
declare module "autocannon" {
  export interface Request {
    readonly method: string;
    readonly path: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: Buffer;
  }

  interface Options {
    readonly url: string;
    readonly connections: number;
    /** Seconds. */
    readonly duration: number;
    /** Requests a second of all connections together; undefined: as fast as they are answered. */
    readonly overallRate?: number | undefined;
    readonly requests: readonly Request[];
  }

  interface Result {
    readonly requests: { readonly total: number; readonly average: number };
    /** In milliseconds. */
    readonly latency: { readonly p50: number; readonly p99: number; readonly max: number };
    /** Seconds. */
    readonly duration: number;
    readonly errors: number;
    readonly timeouts: number;
    readonly non2xx: number;
  }

  function autocannon(options: Options): Promise<Result>;

  // biome-ignore lint/style/noDefaultExport: that is how the package exports itself
  export { autocannon as default };
}
