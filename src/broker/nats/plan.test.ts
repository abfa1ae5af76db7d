import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { DEFAULT_ROOM_SETTINGS } from "../../core/settings.js";
import { parseRoom } from "../../protocol/room-name.js";
import { describeChange, type ExistingStream, type PlanChange, planChange } from "./plan-change.js";
import {
  differences,
  differenceText,
  namespacesOf,
  type PlanRecord,
  parsePlanRecord,
} from "./plan-record.js";
import { serverFeatures } from "./server-version.js";
import { controlConfig, nanos, partitionConfig } from "./stream-config.js";
import { type NamespaceSettings, placeOf, planStreams, type StoredSettings } from "./stream-plan.js";
import { Subjects } from "./subjects.js";

const REVOCATIONS = { count: 1_000, seconds: 600 };
const STORAGE = { replicas: 1, maxBytes: -1, dataBytes: 15_360, revocations: REVOCATIONS };

function settings(messages: number, seconds: number, rest: Partial<StoredSettings> = {}): StoredSettings {
  return { history: { messages, seconds }, state: false, ephemeral: false, ...rest };
}

function namespaces(
  byName: Record<string, StoredSettings>,
  sets: Record<string, string> = {},
): NamespaceSettings {
  return { defaults: DEFAULT_ROOM_SETTINGS, byName, sets };
}

/** What there is after a plan was carried out, and messages in every stream. */
class Deployment {
  streams = new Map<string, ExistingStream>();
  record: PlanRecord | undefined;

  plan(own: NamespaceSettings, partitions = 2, storage = STORAGE): PlanChange {
    const plan = planStreams(own, new Subjects("fw", partitions));
    return planChange(plan, namespacesOf(own), storage, this);
  }

  apply(own: NamespaceSettings, partitions = 2, storage = STORAGE): PlanChange {
    const change = this.plan(own, partitions, storage);
    for (const { config } of change.control === undefined ? change.steps : [change.control, ...change.steps])
      this.streams.set(config.name, { config: { ...config }, messages: 5 });
    this.record = change.record ?? this.record;
    return change;
  }
}

describe("which streams there are", () => {
  test("namespaces share the streams of their kind, which keep what the greediest wants", () => {
    const plan = planStreams(
      namespaces({
        chat: settings(5_000, 60),
        log: settings(10, 7_200),
        market: settings(20_000, 300, { state: true }),
        cursors: settings(0, 1, { ephemeral: true }),
      }),
      new Subjects("fw", 4),
    );
    assert.deepEqual(
      plan.sets.map(({ set, messages, seconds }) => [set.keyed, messages, seconds]),
      [
        [false, 5_100, 7_200],
        [true, 20_100, 0],
      ],
    );
    assert.equal(placeOf(plan, parseRoom("chat.a")).set?.keyed, false);
    assert.equal(placeOf(plan, parseRoom("market")).set?.keyed, true);
    assert.equal(placeOf(plan, parseRoom("cursors.a")).set, undefined);
    assert.deepEqual(placeOf(plan, parseRoom("log.a")).history, { messages: 10, seconds: 7_200 });
    assert.deepEqual(placeOf(plan, parseRoom("unnamed.a")).history, DEFAULT_ROOM_SETTINGS.history);
  });

  test("holes can be filled in namespaces that keep nothing", () => {
    const plan = planStreams(
      { defaults: settings(0, 1), byName: { keyed: settings(0, 1, { state: true }) } },
      new Subjects("fw", 1),
    );
    assert.deepEqual(
      plan.sets.map(({ messages, seconds }) => [messages, seconds]),
      [
        [100, 300],
        [100, 0],
      ],
    );
  });

  test("a namespace can have streams of its own", () => {
    const plan = planStreams(
      namespaces({ ticks: settings(100_000, 60), chat: settings(10, 600) }, { ticks: "bulk", chat: "bulk" }),
      new Subjects("fw", 1),
    );
    assert.deepEqual(
      plan.sets.map(({ set, messages, seconds }) => [set.name, messages, seconds]),
      [
        ["", 1_100, 3_600],
        ["bulk", 100_100, 600],
      ],
    );
    const many = Array.from({ length: 8 }, (_, index) => [`n${index}`, `s${index}`]);
    assert.throws(
      () => planStreams(namespaces({}, Object.fromEntries(many)), new Subjects("fw", 1)),
      /9 sets of streams: at most 8/,
    );
  });

  test("a stream republishes what it stores, token by token", () => {
    const plan = planStreams(namespaces({ m: settings(1, 1, { state: true }) }), new Subjects("fw", 2));
    const [plain, keyed] = plan.sets;
    assert.ok(plain !== undefined && keyed !== undefined);
    assert.deepEqual(partitionConfig(plan, plain, 1, STORAGE).republish, {
      src: "fw.in.1.*",
      dest: "fw.live.1.{{wildcard(1)}}",
    });
    const config = partitionConfig(plan, keyed, 0, { ...STORAGE, replicas: 3 });
    assert.deepEqual(config.republish, {
      src: "fw.key.0.*.*",
      dest: "fw.livekey.0.{{wildcard(1)}}.{{wildcard(2)}}",
    });
    assert.equal(config.num_replicas, 3);
    assert.equal(config.max_age, 0);
    assert.ok(nanos(120) <= partitionConfig(plan, plain, 1, STORAGE).max_age);
    assert.equal(controlConfig(plan.subjects, 1).name, "FW_CTL");
  });
});

describe("what provisioning does", () => {
  const chat = (messages: number, seconds = 3_600) => namespaces({ chat: settings(messages, seconds) });

  test("everything at first, then nothing", () => {
    const deployment = new Deployment();
    const first = deployment.apply(chat(5_000));
    assert.equal(first.control?.config.name, "FW_CTL");
    assert.deepEqual(
      first.steps.map(({ kind, config }) => [kind, config.name]),
      [
        ["create", "FW_0"],
        ["create", "FW_1"],
        ["create", "FW_REVOKED"],
      ],
    );
    assert.equal(first.record?.generation, 0);
    assert.deepEqual(describeChange(deployment.plan(chat(5_000))), ["nothing to do"]);
  });

  test("more history is an update that loses nothing; readers remember the old bound", () => {
    const deployment = new Deployment();
    deployment.apply(chat(5_000));
    const change = deployment.apply(chat(9_000, 7_200));
    assert.deepEqual(change.losses, []);
    assert.deepEqual(
      change.steps.map(({ kind }) => kind),
      ["update", "update"],
    );
    assert.equal(change.record?.generation, 0);
    assert.deepEqual(change.record?.messagesMin, { in: 5_100 });
    assert.match(
      describeChange(change).join("\n"),
      /update FW_0, FW_1: max_age 3600000000000 → 7200000000000, max_msgs_per_subject 5100 → 9100/,
    );
  });

  test("less history loses data where there is any", () => {
    const deployment = new Deployment();
    deployment.apply(chat(5_000));
    const { losses } = deployment.plan(chat(2_000));
    assert.match(
      losses.join("; "),
      /FW_0 would drop what is beyond max_msgs_per_subject 2100, 5100 until now/,
    );
    for (const [name, stream] of deployment.streams) deployment.streams.set(name, { ...stream, messages: 0 });
    const empty = deployment.plan(chat(2_000));
    assert.deepEqual(empty.losses, []);
    assert.deepEqual(empty.record?.messagesMin, { in: 2_100 });
  });

  test("a bound where there was none loses data, none where there was one does not", () => {
    const deployment = new Deployment();
    deployment.apply(chat(10));
    assert.equal(deployment.plan(chat(10), 2, { ...STORAGE, maxBytes: 1_000 }).losses.length, 2);
    deployment.apply(chat(10), 2, { ...STORAGE, maxBytes: 1_000 });
    assert.equal(deployment.plan(chat(10), 2, { ...STORAGE, maxBytes: 500 }).losses.length, 2);
    assert.equal(deployment.plan(chat(10)).losses.length, 0);
  });

  test("fewer replicas are a loss, more are not", () => {
    const deployment = new Deployment();
    deployment.apply(chat(10), 2, { ...STORAGE, replicas: 3 });
    assert.match(deployment.plan(chat(10)).losses.join(), /1 replicas instead of 3/);
    const other = new Deployment();
    other.apply(chat(10));
    assert.deepEqual(other.plan(chat(10), 2, { ...STORAGE, replicas: 3 }).losses, []);
  });

  test("what moves rooms is a loss, begins new epochs, and leaves the old streams", () => {
    for (const [own, partitions, text] of [
      [chat(10), 1, /partitions is 1 here and 2 in the plan/],
      [namespaces({ chat: settings(10, 3_600, { state: true }) }), 2, /namespace chat: state is true here/],
      [namespaces({ chat: settings(10, 3_600, { ephemeral: true }) }), 2, /ephemeral is true here/],
      [namespaces({ chat: settings(10, 3_600) }, { chat: "own" }), 2, /set is own here and "" in the plan/],
    ] as const) {
      const deployment = new Deployment();
      deployment.apply(chat(10));
      const change = deployment.apply(own, partitions);
      assert.match(change.losses.join("; "), text);
      assert.equal(change.record?.generation, 1);
      assert.deepEqual(change.left, partitions === 1 ? ["FW_1"] : []);
    }
  });

  test("what the server cannot change is a problem, what fancier operators set stays", () => {
    const deployment = new Deployment();
    deployment.apply(chat(10));
    const stream = deployment.streams.get("FW_0");
    assert.ok(stream !== undefined);
    deployment.streams.set("FW_0", { ...stream, config: { ...stream.config, storage: "memory" } });
    assert.match(
      deployment.plan(chat(10)).problems.join(),
      /FW_0: storage "memory" → "file" cannot be changed/,
    );
    deployment.streams.set("FW_0", {
      ...stream,
      config: { ...stream.config, compression: "s2", max_age: nanos(60) },
    });
    const [step] = deployment.plan(chat(10)).steps;
    assert.ok(step?.kind === "update" && step.config.compression === "s2");
  });

  test("streams of other programs are none of its business", () => {
    const deployment = new Deployment();
    for (const name of ["FW_3", "FW_KEY_9", "FW_OWN_0", "FW_CTL", "FW_OTHER", "FWX_1"])
      deployment.streams.set(name, { config: { ...controlConfig(new Subjects("fw", 1), 1) }, messages: 1 });
    assert.deepEqual(deployment.plan(chat(10)).left, ["FW_3", "FW_KEY_9", "FW_OWN_0"]);
  });
});

describe("the record that nodes compare with", () => {
  test("says of each difference what it is here and in the plan", () => {
    const planned = record(namespaces({ chat: settings(1_000, 60) }));
    const here = namespacesOf(
      namespaces({ chat: settings(500, 60), other: settings(1, 1, { state: true }) }),
    );
    const found = differences(4, here, planned);
    assert.deepEqual(found.map(differenceText), [
      "the deployment: partitions is 4 here and 2 in the plan",
      "namespace chat: messages is 500 here and 1000 in the plan",
      "namespace other: messages is 1 here and 1000 in the plan",
      "namespace other: seconds is 1 here and 3600 in the plan",
      "namespace other: state is true here and false in the plan",
    ]);
    assert.deepEqual(
      found.map(({ moves }) => moves),
      [true, false, false, false, true],
    );
  });

  test("settings that mean the same agree, however they are written", () => {
    const planned = record(
      namespaces({ chat: DEFAULT_ROOM_SETTINGS, ticks: settings(1, 1, { ephemeral: true }) }),
    );
    const here = namespaces({ ticks: settings(1, 1, { ephemeral: true }) }, { ticks: "ignored" });
    assert.deepEqual(differences(2, namespacesOf(here), planned), []);
  });

  test("comes back from text, and what is no record is refused", () => {
    const planned = record(namespaces({ chat: settings(1_000, 60, { state: true }) }, { chat: "own" }));
    assert.deepEqual(parsePlanRecord(JSON.stringify(planned)), planned);
    for (const text of ["", "null", "{}", JSON.stringify({ ...planned, version: 2 })])
      assert.throws(() => parsePlanRecord(text), /not one that this version of fanwire reads/);
  });

  function record(own: NamespaceSettings): PlanRecord {
    const deployment = new Deployment();
    deployment.apply(own);
    assert.ok(deployment.record !== undefined);
    return deployment.record;
  }
});

test("servers are known by their version", () => {
  const rows = [
    ["2.8.4", false, false],
    ["2.9.10", true, false],
    ["2.10.27", true, true],
    ["2.11.0-RC.1", true, true],
    ["3.0.0", true, true],
    ["dev", false, false],
  ] as const;
  for (const [version, enough, manyFilters] of rows)
    assert.deepEqual(serverFeatures(version), { version, enough, manyFilters });
});
