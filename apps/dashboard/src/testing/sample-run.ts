/** A small run for tests, read as records from a folder are: three devices, of which one leaves. */
import { RecordReader, RunHistory } from "edgeloom";

const segments = ["conv1", "relu1", "fc1", "relu2", "fc2"];

const joined = (node: string, kind: string, samples: number, duty: number) => ({
  ...{ type: "joined", node, name: node, kind, duty, samples },
  ...{ memoryBytes: null, ceilingBytesPerMs: null, engine: "interpreter" },
});

/** A plan in which each device keeps the segments before its cut and `edge` the rest. */
const planOf = (term: number, cuts: Readonly<Record<string, number>>) => {
  const devices = Object.keys(cuts);
  return {
    ...{ term, planner: "parallel-split", objective: "round time", reason: "because; so" },
    copies: devices.flatMap((device) => [
      { id: `copy:${device}`, node: device, from: 0, to: cuts[device], mode: "train" },
      { id: `copy:edge:${device}`, node: "edge", from: cuts[device], to: 5, mode: "train" },
    ]),
    chains: devices.map((device) => ({
      ...{ id: `chain:${device}`, source: device, schedule: "serial", work: 2 },
      stages: [
        { copy: `copy:${device}`, backward: "stored" },
        { copy: `copy:edge:${device}`, backward: "none" },
      ],
    })),
    groups: [],
    links: devices.map((device) => ({
      ...{ from: device, to: "edge", chain: `chain:${device}`, bytesPerMs: 1000 },
      ...{ codecUp: "float32", codecDown: "float32" },
    })),
    limits: [],
    forecasts: [],
  };
};

const cost = (node: string, more: object = {}) => ({
  ...{
    node,
    computeMs: 20,
    busyMs: 40,
    dutyAchieved: 0.5,
    ahead: null,
    bytesUp: 5000,
    bytesDown: 4000,
    bytesStraight: 3000,
  },
  held: { forward: 15, backward: 20, update: 5, step: 0 },
  sending: { bytes: 5000, ms: 10 },
  receiving: { bytes: 4000, ms: 8 },
  peakRssBytes: 1_000_000,
  ...more,
});

const round = (index: number, loss: number, term: number, nodes: readonly object[]) => ({
  ...{ type: "round", round: index, term, learningRate: 0.1, ms: 100, loss },
  ...{ participants: [], dropped: [], nodes },
});

const evaluation = (after: number, accuracy: number, final: boolean) => ({
  ...{ type: "evaluation", round: after, samples: 90, accuracy, loss: 1 - accuracy, ms: 5, final },
});

/** Two rounds, then device b leaves, then two rounds under a new plan; with its end or without. */
export function sampleRecords(hasEnded = true): object[] {
  const toA = [{ to: "a", bytes: 1200, bytesPerMs: null }];
  const hub = cost("edge", { sending: null, receiving: null, straight: toA });
  const a = cost("a", { straight: [{ to: "edge", bytes: 1800, bytesPerMs: 250 }] });
  const before = [hub, a, cost("b"), cost("c")];
  const after = [hub, a, cost("c", { held: null, sending: null, receiving: null })];
  const started = {
    ...{ type: "run", version: 2, run: "sample", name: "sample", model: "small" },
    ...{ planner: "parallel-split", seed: 3, rounds: 4, batch: 8, localBatches: 2 },
    ...{ parameters: 200, segments },
  };
  const left = { type: "left", node: "b", name: "b", reason: "lost", round: 2 };
  return [
    { atMs: 0, ...started },
    { atMs: 1, ...joined("edge", "edge", 0, 1) },
    { atMs: 2, ...joined("a", "device", 40, 1) },
    { atMs: 3, ...joined("b", "device", 70, 0.25) },
    { atMs: 4, ...joined("c", "device", 100, 0.05) },
    { atMs: 10, type: "planned", plan: planOf(1, { a: 3, b: 2, c: 2 }), round: 0, reason: "first" },
    { atMs: 110, ...round(0, 2, 1, before) },
    { atMs: 210, ...round(1, 1.5, 1, before) },
    { atMs: 215, ...evaluation(2, 0.5, false) },
    { atMs: 220, ...left },
    { atMs: 225, type: "planned", plan: planOf(2, { a: 3, c: 1 }), round: 2, reason: "b left" },
    { atMs: 325, ...round(2, 1, 2, after) },
    { atMs: 425, ...round(3, 0.5, 2, after) },
    ...(hasEnded
      ? [
          { atMs: 430, ...evaluation(4, 0.8, true) },
          { atMs: 435, type: "ended", reason: "finished", text: "4 rounds", rounds: 4 },
        ]
      : []),
  ];
}

/** The history of records as they stand in a file. Fails where the format has moved on. */
export function historyOf(records: readonly object[]): RunHistory {
  const reader = new RecordReader();
  const history = new RunHistory();
  for (const record of records) {
    const timed = reader.take(record);
    if (timed === null) throw new Error(`not a record: ${JSON.stringify(record)}`);
    history.add(timed);
  }
  return history;
}
