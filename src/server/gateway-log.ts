/** What the gateway logs with; a pino logger is one. It bounds how many lines of a kind are written. */
export interface GatewayLog {
  debug(details: object, message: string): void;
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}
