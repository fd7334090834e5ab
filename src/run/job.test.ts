import { describe, expect, it } from "vitest";
import { parseJob } from "./job.ts";

const job = (fields: object) => parseJob({ model: "mlp", data: "mnist", ...fields });

describe("a job", () => {
  it("gives each device a name of its own, and none the server's", () => {
    const devices = (...names: string[]) => ({
      fleet: { devices: names.map((name) => ({ name })) },
    });
    expect(() => job(devices("a", "b", "a"))).toThrow('fleet.devices.2.name: got "a"');
    expect(() => job(devices("a", "edge"))).toThrow('fleet.devices.1.name: got "edge"');
    expect(job(devices("a", "b")).fleet.devices.map(({ name }) => name)).toEqual(["a", "b"]);
    expect(job({ fleet: { devices: 2 } }).fleet.devices.map(({ name }) => name)).toEqual([
      "device-1",
      "device-2",
    ]);
  });
});

describe("loss, optimizer and schedule", () => {
  it("take a name, or settings over the defaults", () => {
    expect(job({}).loss).toMatchObject({ kind: "softmax-cross-entropy", labelSmoothing: 0 });
    expect(job({ model: "vae" }).loss).toMatchObject({ kind: "mean-output" });
    expect(job({ model: "ncf" }).loss).toMatchObject({ kind: "binary-cross-entropy" });
    expect(job({ model: "ncf.onnx" }).loss).toMatchObject({ kind: "softmax-cross-entropy" });
    const smooth = { kind: "softmax-cross-entropy", labelSmoothing: 0.1 };
    expect(job({ loss: smooth }).loss).toMatchObject({ labelSmoothing: 0.1, classWeights: null });
    const adam = job({ optimizer: { kind: "adam", beta1: 0.8 } }).optimizer;
    expect(adam).toMatchObject({ learningRate: 0.001, momentum: 0, beta1: 0.8, beta2: 0.999 });
    expect(job({ optimizer: { schedule: "cosine" } }).optimizer).toMatchObject({
      kind: "sgd",
      learningRate: 0.05,
      momentum: 0.9,
      schedule: { kind: "cosine", warmup: 0 },
    });
    const steps = { kind: "step", every: 3, warmup: 2 };
    expect(job({ optimizer: { schedule: steps } }).optimizer.schedule).toEqual({
      ...steps,
      factor: 0.1,
    });
  });

  it("refuse what does not go together", () => {
    const nesterov = { kind: "adam", nesterov: true };
    expect(() => job({ optimizer: nesterov })).toThrow("optimizer.nesterov: got true with adam");
    expect(() => job({ localBatches: 10, optimizer: { accumulate: 4 } })).toThrow(
      "optimizer.accumulate: got 4 with localBatches 10",
    );
    expect(() => job({ optimizer: { kind: "adagrad" } })).toThrow("optimizer.kind");
  });
});

describe("options of the model", () => {
  it("are those that the built-in model takes", () => {
    const { modelOptions } = job({ model: "textcnn", modelOptions: { classes: 3, length: 12 } });
    expect(modelOptions).toEqual({ classes: 3, length: 12 });
    expect(job({}).modelOptions).toEqual({});
    expect(() => job({ modelOptions: { length: 12 } })).toThrow(
      "modelOptions.length: got 12 for mlp; allowed: classes, channels, size: mlp has no other",
    );
    expect(() => job({ modelOptions: { depth: 2 } })).toThrow("modelOptions.depth: got 2");
    expect(() => job({ modelOptions: { classes: 0 } })).toThrow("modelOptions.classes: got 0");
    const dropped = { model: "vgg11", modelOptions: { dropout: 1 } };
    expect(() => job(dropped)).toThrow("modelOptions.dropout: got 1");
  });

  it("are refused for a file, at the line where they stand", () => {
    const fields = { model: "own.onnx", data: "mnist", modelOptions: { classes: 3 } };
    expect(() => parseJob(fields, (path) => `job.yaml ${path.join(".")}`)).toThrow(
      'job.yaml modelOptions: modelOptions: got {"classes":3} for own.onnx; ' +
        "allowed: none: only built-in models have options",
    );
  });
});

describe("codecs of a job", () => {
  const base = { model: "lenet5", data: "mnist" };

  it("are float32 where nothing is said, and each way its own", () => {
    expect(parseJob(base).codec).toEqual({
      ...{ up: "float32", down: "float32", updates: "float32", samples: null },
    });
    const codec = { up: "affine4-stochastic", down: "topk10+feedback", updates: "affine8" };
    expect(parseJob({ ...base, codec }).codec).toEqual({ ...codec, samples: null });
  });

  it("have deltas of features alone, of so many samples as the job says", () => {
    const codec = { up: "affine4+delta", samples: 500 };
    expect(parseJob({ ...base, codec }).codec).toMatchObject(codec);
    const parsed = (change: object) => () => parseJob({ ...base, ...change });
    const allowed = "allowed: the number of samples that are remembered, 32 or more";
    expect(parsed({ codec: { up: "affine4+delta" } })).toThrow(
      `codec.samples: got nothing with affine4+delta; ${allowed}`,
    );
    expect(parsed({ split: { up: ["float32", "topk10+delta"] } })).toThrow(
      `codec.samples: got nothing with topk10+delta; ${allowed}`,
    );
    expect(parsed({ codec: { samples: 31 } })).toThrow(
      `codec.samples: got 31 with batch 32; ${allowed}`,
    );
    expect(parsed({ codec: { ...codec, down: "affine4+delta" } })).toThrow(
      'codec.down: got "affine4+delta"; allowed: one of float32',
    );
  });

  it.each(["affine9", "float32+feedback", "float32+delta", "int8"])(
    "are not %s, and say which they are",
    (up) => {
      expect(() => parseJob({ ...base, codec: { up } })).toThrow(
        `codec.up: got "${up}"; allowed: one of float32, float16, affine8, affine4,`,
      );
    },
  );

  it.each(["topk10", "affine8+feedback"])("bring no updates home by %s", (updates) => {
    expect(() => parseJob({ ...base, codec: { updates } })).toThrow(
      `codec.updates: got "${updates}"; allowed: one of float32, float16, affine8, affine4, affine8-stochastic, affine4-stochastic`,
    );
  });
});

describe("how a job wants its model split", () => {
  it("is as deep as it must be, with shares and a server for everybody, where nothing is said", () => {
    const copies = { serverCopies: "each", merge: null };
    const codecs = { labels: "at-server", up: null, down: null };
    const plain = { cutMin: 1, mayKeepAll: false, mayShareFreely: false, ...copies, ...codecs };
    expect(job({}).split).toEqual(plain);
    expect(job({ split: { cutMin: 3 } }).split).toEqual({ ...plain, cutMin: 3 });
  });

  it.each([
    [{ cutMin: 0 }, "split.cutMin: got 0"],
    [{ cutMin: 1.5 }, "split.cutMin: got 1.5"],
    [{ mayKeepAll: "yes" }, 'split.mayKeepAll: got "yes"'],
    [{ serverCopies: "two" }, 'split.serverCopies: got "two"'],
    [{ merge: 0 }, "split.merge: got 0"],
    [{ mayShare: true }, "split.mayShare: got true; allowed: no such field here"],
  ])("is not %j", (split, message) => {
    expect(() => job({ split })).toThrow(message);
  });
});

describe("whom rounds wait for", () => {
  it("is everybody where nothing is said, and a share after a deadline where the job says so", () => {
    const plain = { quorum: 1, deadline: 1.5, late: "drop", batches: "equal", interim: null };
    expect(job({}).round).toEqual(plain);
    const round = { quorum: 0.8, late: "fold" };
    expect(job({ round }).round).toEqual({ ...plain, ...round });
  });

  it.each([
    [{ quorum: 0 }, "round.quorum: got 0"],
    [{ quorum: 2 }, "round.quorum: got 2"],
    [{ deadline: 0.5 }, "round.deadline: got 0.5"],
    [{ late: "wait" }, 'round.late: got "wait"'],
    [{ batches: "fair" }, 'round.batches: got "fair"'],
  ])("is not %j", (round, message) => {
    expect(() => job({ round })).toThrow(message);
  });
});

describe("how copies agree", () => {
  const fleet = { devices: 6 };
  const fields = (change: object) => job({ fleet, ...change });

  it("is the plain average where nothing is said, and a policy against liars where there are enough for it", () => {
    expect(fields({}).round.join).toBeUndefined();
    const join = { kind: "trimmed-mean", liars: 2, clip: 1 };
    expect(fields({ round: { join } }).round.join).toEqual(join);
    expect(fields({ exchange: { join: { kind: "median" } } }).exchange.join.kind).toBe("median");
    expect(fields({ round: { join: { clip: 2 } } }).round.join?.kind).toBe("average");
  });

  it.each([
    [
      { round: { join: { kind: "krum", liars: 2 } } },
      "round.join: got krum against 2 liars among 6 devices; allowed: 7 devices or more, or fewer liars",
    ],
    [
      { exchange: { join: { kind: "trimmed-mean", liars: 3 } } },
      "exchange.join: got trimmed-mean against 3 liars among 6 devices; allowed: 7 devices",
    ],
    [
      { exchange: { join: { kind: "median" }, select: { kind: "max-n" } } },
      "exchange.join: got median with other than whole parts in time",
    ],
    [
      { exchange: { stream: {}, staleness: 1 } },
      "exchange.stream: got fragments of other than whole changes in time; allowed: select: all",
    ],
    [
      { exchange: { stream: {}, transfer: {} } },
      "exchange.stream: got fragments of other than whole changes in time; allowed: select: all",
    ],
    [
      { exchange: { stream: { fragments: 4 }, every: 3 } },
      "exchange.stream: got 4 fragments with every: 3; allowed: every: 2 or more",
    ],
    [
      { exchange: { stream: { fragments: 4, delay: 3 }, every: 10 } },
      "exchange.stream: got a delay of 3 with 4 fragments in 10 updates; allowed: 2 at most",
    ],
    [
      { exchange: { join: { clip: 1 }, staleness: 1 } },
      "exchange.join: got average with other than whole parts in time",
    ],
    [
      { round: { join: { kind: "median" }, late: "fold" } },
      "round.join: got median with round.late: fold",
    ],
    [
      { round: { join: { kind: "median" } }, split: { serverCopies: "shared" } },
      "round.join: got median with split.serverCopies: shared",
    ],
    [{ round: { join: { kind: "vote" } } }, 'round.join.kind: got "vote"'],
  ])("is not %j", (change, message) => {
    expect(() => fields(change)).toThrow(message);
  });
});

describe("parties", () => {
  const fields = (change: object) =>
    job({ planner: "two-parties", parties: [[0, 2], [1]], fleet: { devices: 2 }, ...change });

  it("are two, with columns of their own", () => {
    expect(fields({}).parties).toEqual([[0, 2], [1]]);
    expect(job({}).parties).toBeUndefined();
  });

  it.each([
    [{ parties: [[0, 1], [1]] }, "parties: got column 1 twice"],
    [{ parties: [[0], []] }, "parties.1"],
    [{ parties: [[0], [1], [2]] }, "parties"],
    [{ parties: undefined }, "parties: got nothing; allowed: with the planner two-parties"],
    [{ planner: "parallel-split" }, "parties: got those of the planner parallel-split"],
    [{ fleet: { devices: 3 } }, "fleet.devices: got 3; allowed: with the planner two-parties"],
  ])("are not %j", (change, message) => {
    expect(() => fields(change)).toThrow(message);
  });
});
