/** Handlers by event, one argument each. A handler that throws does not keep the others from being called. */
export class Emitter<Events extends object> {
  readonly #handlers: { [E in keyof Events]?: Set<(value: Events[E]) => void> } = {};

  /** Returns what takes the handler off again. */
  on<E extends keyof Events>(event: E, handler: (value: Events[E]) => void): () => void {
    const handlers = this.#handlers[event] ?? new Set();
    this.#handlers[event] = handlers;
    handlers.add(handler);
    return () => {
      handlers.delete(handler);
    };
  }

  emit<E extends keyof Events>(event: E, value: Events[E]): void {
    const handlers = this.#handlers[event];
    if (handlers === undefined) return;
    for (const handler of [...handlers]) {
      try {
        handler(value);
      } catch (cause) {
        // The application's mistake, reported the way an event target does: as an uncaught error of its own.
        queueMicrotask(() => {
          throw cause;
        });
      }
    }
  }
}
