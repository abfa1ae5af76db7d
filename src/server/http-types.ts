/** One HTTP request as the gateway hands it over: everything copied, nothing of uWS in it. */
export interface HttpRequest {
  /** Its name in logs and replies. */
  readonly id?: string;
  /** Upper case. HEAD comes as GET; the gateway leaves the body out. */
  readonly method: string;
  /** Path without the query, percent-encoding as received. */
  readonly path: string;
  /** Query without the `?`. */
  readonly query: string;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Uint8Array;
  /** Of the client, such as `192.0.2.1`, where somebody wants to know. */
  readonly address?: string | undefined;
}

export interface HttpReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | string;
}

/** Answers one request; never rejects. */
export type HttpHandler = (request: HttpRequest) => Promise<HttpReply>;
