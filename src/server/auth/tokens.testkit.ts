import { createHmac, generateKeyPairSync, type KeyObject } from "node:crypto";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { TestContext } from "node:test";
import { SignJWT } from "jose";
import type { HttpAnswer } from "../raw-socket.testkit.js";
import { handshake, RawSocket } from "../raw-socket.testkit.js";

export const SECRET = "0123456789abcdef0123456789abcdef";

export type Claims = Readonly<Record<string, unknown>>;

export const nowSeconds = (): number => Math.floor(Date.now() / 1_000);

/** What most tests' tokens say. */
export function claimsOf(claims: Claims = {}): Claims {
  const now = nowSeconds();
  return { sub: "ada", iat: now, exp: now + 600, rooms: [["chat.>", "sph"]], ...claims };
}

/** A token signed with {@link SECRET}; undefined claims are left out. */
export function tokenOf(claims: Claims = {}, secret = SECRET): Promise<string> {
  return new SignJWT(JSON.parse(JSON.stringify(claimsOf(claims))))
    .setProtectedHeader({ alg: "HS256" })
    .sign(Buffer.from(secret));
}

/** One made by hand, so that nothing keeps it from being nonsense. */
export function rawToken(header: Claims, claims: Claims, sign: (input: string) => Buffer | string): string {
  const part = (value: Claims) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const input = `${part(header)}.${part(claims)}`;
  const signature = sign(input);
  return `${input}.${typeof signature === "string" ? signature : signature.toString("base64url")}`;
}

export function hmac(secret: string | Buffer): (input: string) => Buffer {
  return (input) => createHmac("sha256", secret).update(input).digest();
}

export interface SigningKey {
  readonly kid: string;
  readonly publicKey: KeyObject;
  sign(claims?: Claims, header?: Claims): Promise<string>;
  jwk(): Claims;
}

/** A key pair that signs. */
export function signingKey(alg: "RS256" | "ES256" | "EdDSA", kid: string): SigningKey {
  const { publicKey, privateKey } =
    alg === "RS256"
      ? generateKeyPairSync("rsa", { modulusLength: 2_048 })
      : alg === "ES256"
        ? generateKeyPairSync("ec", { namedCurve: "P-256" })
        : generateKeyPairSync("ed25519");
  return {
    kid,
    publicKey,
    sign: (claims = {}, header = {}) =>
      new SignJWT(JSON.parse(JSON.stringify(claimsOf(claims))))
        .setProtectedHeader({ alg, kid, ...header })
        .sign(privateKey),
    jwk: () => ({ ...publicKey.export({ format: "jwk" }), kid, alg, use: "sig" }),
  };
}

/** Answers as a test says; counts what is asked. */
export class KeyServer {
  requests = 0;
  keys: readonly SigningKey[];
  /** Instead of the keys: `hang` answers nobody until it is told to. */
  mode: "serve" | "hang" | "fail" | "garbage" | "huge" | "redirect" = "serve";
  readonly #server: Server;
  readonly #held: ServerResponse[] = [];
  port = 0;

  private constructor(keys: readonly SigningKey[]) {
    this.keys = keys;
    this.#server = createServer((_request, response) => {
      this.requests += 1;
      this.#answer(response);
    });
  }

  static async start(t: TestContext, keys: readonly SigningKey[]): Promise<KeyServer> {
    const server = new KeyServer(keys);
    await server.listen();
    t.after(() => server.stop());
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/jwks.json`;
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(this.port, "127.0.0.1", resolve));
    const address = this.#server.address();
    if (address !== null && typeof address === "object") this.port = address.port;
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Answers those that hang. */
  release(): void {
    this.mode = "serve";
    for (const response of this.#held.splice(0)) this.#answer(response);
  }

  #answer(response: ServerResponse): void {
    switch (this.mode) {
      case "hang":
        this.#held.push(response);
        return;
      case "fail":
        response.writeHead(500).end("no");
        return;
      case "garbage":
        response.end("{ keys");
        return;
      case "huge":
        response.end(Buffer.alloc(400_000, " "));
        return;
      case "redirect":
        response.writeHead(302, { location: "http://127.0.0.1:1/" }).end();
        return;
      case "serve":
        response.end(JSON.stringify({ keys: this.keys.map((key) => key.jwk()) }));
    }
  }
}

/** A handshake with this token and what it is answered. */
export async function knock(port: number, token: string | undefined, path = "/ws"): Promise<HttpAnswer> {
  const raw = await RawSocket.connect(port);
  const headers = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  raw.write(handshake({ path, headers }));
  const answer = await raw.answer();
  raw.destroy();
  return answer;
}

/** The code in an answer's body. */
export function codeOf({ body }: HttpAnswer): string {
  return JSON.parse(body.toString()).error.code;
}
