// The one file that loads uWebSockets.js.

declare module "uWebSockets.js" {
  /** Declared by the package as a member of an enum that does not exist when it runs. */
  const LIBUS_LISTEN_DEFAULT: number;
  const LIBUS_LISTEN_EXCLUSIVE_PORT: number;
  interface TemplatedApp {
    /** The form with host and options, which the package's types leave out. */
    listen(
      host: string,
      port: number,
      options: number,
      cb: (listenSocket: us_listen_socket | false) => void,
    ): TemplatedApp;
  }
}

export type {
  HttpRequest,
  HttpResponse,
  TemplatedApp,
  us_listen_socket,
  us_socket_context_t,
  WebSocket,
} from "uWebSockets.js";
export { default as uWS } from "uWebSockets.js";
