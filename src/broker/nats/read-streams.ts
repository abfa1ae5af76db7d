import { CodedError } from "../../protocol/errors.js";
import type { Control } from "./control.js";
import type { Gate } from "./gate.js";
import { ApiError, ERR_CODE, insist } from "./js-api.js";
import type { PlanRecord } from "./plan-record.js";
import type { StreamPlan } from "./stream-plan.js";
import type { StreamReader } from "./stream-reader.js";
import { messagesMinOf, Stream, Streams } from "./streams.js";

/** What every stream's leader says. @throws CodedError `bad_request` where one is missing. */
export async function readStreams(
  plan: StreamPlan,
  record: PlanRecord,
  control: Control,
  reads: StreamReader,
  gate: Gate,
  startMs: number,
): Promise<Streams> {
  const { subjects } = plan;
  const { value: marks } = await insist("NATS did not give the epochs", startMs, (timeoutMs) =>
    control.readEpochs(timeoutMs),
  );
  const places = plan.sets.flatMap((set) =>
    Array.from({ length: subjects.partitions }, (_, partition) => ({ set, partition })),
  );
  const streams = places.map(({ set, partition }) =>
    gate.run(async () => {
      const name = subjects.stream(set.set, partition);
      try {
        const info = await insist(`NATS did not tell of ${name}`, startMs, (timeoutMs) =>
          reads.info({ name }, timeoutMs),
        );
        const identity = { generation: record.generation, mark: marks.get(name) ?? "" };
        const messagesMin = messagesMinOf(record, set.set, set.messages);
        return new Stream(subjects, set.set, partition, info, identity, messagesMin);
      } catch (cause) {
        if (cause instanceof ApiError && cause.errCode === ERR_CODE.streamNotFound)
          throw new CodedError("bad_request", `stream ${name} is missing: run "fanwire nats provision"`);
        throw cause;
      }
    }),
  );
  return new Streams(plan, await Promise.all(streams));
}
