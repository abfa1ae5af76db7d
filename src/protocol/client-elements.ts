import { type ClientFrame, CODE, type Position } from "./frames.js";

/** The request's elements, as they stand on the wire of either sub-protocol. */
export function clientElements(frame: ClientFrame): unknown[] {
  switch (frame.type) {
    case "subscribe":
    case "history":
      return withOptions([CODE[frame.type], frame.ref, frame.room], frame.options);
    case "subscribePattern":
      return withOptions([CODE.subscribe, frame.ref, frame.pattern], frame.options);
    case "unsubscribePattern":
      return [CODE.unsubscribe, frame.ref, frame.pattern];
    case "unsubscribe":
      return [CODE.unsubscribe, frame.ref, frame.room];
    case "presence": {
      const elements = [CODE.presence, frame.ref, frame.room];
      return frame.options === undefined ? elements : [...elements, frame.options];
    }
    case "publish": {
      const elements = [CODE.publish, frame.ref, frame.room, frame.data];
      return frame.key === undefined ? elements : [...elements, frame.key];
    }
    case "authenticate":
      return [CODE.authenticate, frame.ref, frame.token];
    case "subscribeMany": {
      const rooms = frame.rooms.map(({ room, after }) =>
        after === undefined ? [room] : [room, [after.epoch, after.offset]],
      );
      return withOptions([CODE.subscribeMany, frame.ref, rooms], frame.options);
    }
    case "ping":
      return [CODE.ping, frame.ref];
  }
}

function withOptions(elements: unknown[], options: { readonly after?: Position }): unknown[] {
  const { after, ...rest } = options;
  const given = after === undefined ? rest : { after: [after.epoch, after.offset], ...rest };
  return Object.keys(given).length === 0 ? elements : [...elements, given];
}
