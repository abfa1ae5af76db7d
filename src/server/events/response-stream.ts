import { CodedError } from "../../protocol/errors.js";
import { codeOfClose, EventResponse, type StreamResponse } from "./event-response.js";
import type { Stream, StreamOwner } from "./event-streams.js";
import type { SharedFrame } from "./shared-frame.js";

export interface ResponseStreamOptions {
  readonly headers: Readonly<Record<string, string>>;
  /** Most that waits for its client; one chunk more may. */
  readonly bufferBytes: number;
  readonly owner: StreamOwner;
}

/** An HTTP response that does not end, which its owner takes for a WebSocket of uWebSockets.js. */
export abstract class ResponseStream implements Stream {
  protected readonly owner: StreamOwner;
  protected readonly response: EventResponse;

  constructor(res: StreamResponse, { owner, headers, bufferBytes }: ResponseStreamOptions, nowMs: number) {
    this.owner = owner;
    const drained = (): void => owner.drained();
    const refused = (): void => owner.refused();
    const closed = (code: number): void => this.closed(code);
    this.response = new EventResponse(res, { headers, bufferBytes, drained, refused, closed }, nowMs);
  }

  abstract send(message: Uint8Array): number;

  abstract take(frame: SharedFrame): number;

  /** About once a second. */
  abstract sweep(nowMs: number): void;

  getBufferedAmount(): number {
    return this.response.waitingBytes;
  }

  subscribe(topic: string): boolean {
    this.owner.join(this, topic);
    return true;
  }

  unsubscribe(topic: string): boolean {
    this.owner.leave(this, topic);
    return true;
  }

  /** Ends the stream; the client comes back by itself. */
  end(code: number, reason: string): void {
    if (this.response.state === "asking") this.response.refuse(new CodedError(codeOfClose(code), reason));
    else this.response.end(code, reason);
  }

  /** Cuts it off. */
  close(): void {
    this.response.close();
  }
  protected closed(code: number): void {
    this.owner.closed(code);
  }
}
