/** An event of a stream: its name ("" where it has none) and its data. */
export interface StreamEvent {
  readonly name: string;
  readonly data: string;
}

/** Reads the text of `text/event-stream`, however it is cut into pieces. */
export class EventParser {
  #text = "";
  #name = "";
  #data = "";

  /** The events that the text completes. */
  take(text: string): StreamEvent[] {
    const lines = (this.#text + text).split("\n");
    this.#text = lines.pop() ?? "";
    const events: StreamEvent[] = [];
    for (const raw of lines) {
      const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
      if (line === "") {
        if (this.#data !== "") events.push({ name: this.#name, data: this.#data });
        this.#name = "";
        this.#data = "";
      } else if (line.startsWith("event:")) this.#name = line.slice(6).trim();
      else if (line.startsWith("data:")) this.#data += line.slice(5).trim();
    }
    return events;
  }
}

/** The bytes that base64 stands for. @throws where it is none. */
export function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}
