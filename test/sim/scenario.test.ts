import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { InputError } from "../../src/base/errors.ts";
import { readyScenario, runScenario } from "../../src/nodejs/scenario.ts";
import { CompiledJob } from "../../src/run/coordinator/compiled-job.ts";
import { layerModel, layerProfile, readLayers, readPoints } from "../../src/sim/layer-table.ts";
import { parseScenario } from "../../src/sim/scenario.ts";

const folder = "examples/scenarios";
const base = {
  model: "mlp",
  data: "mnist",
  rounds: 2,
  fleet: {
    nodes: [
      { name: "edge", kind: "edge", gflops: 50 },
      {
        name: "phone-{n}",
        kind: "device",
        count: 2,
        gflops: 5,
        upMbit: 10,
        downMbit: 20,
        behind: "cell",
      },
    ],
    cells: [{ name: "cell", upMbit: 15 }],
  },
};
/** The scenario with some of its fleet's fields, or others, changed. */
const changed = (change: object, fleet: object = {}): object => ({
  ...base,
  ...change,
  fleet: { ...base.fleet, ...fleet },
});

describe("a scenario", () => {
  it("is a job with machines: devices of the job are those of the fleet", () => {
    const scenario = parseScenario(base);
    expect(scenario.nodes.map(({ name }) => name)).toEqual(["edge", "phone-1", "phone-2"]);
    expect(scenario.job.fleet.devices).toEqual(
      ["phone-1", "phone-2"].map((name) => ({
        name,
        duty: 1,
        ceilingBytesPerMs: 1250,
        memoryBytes: null,
      })),
    );
    expect(scenario.cells).toEqual([
      { name: "cell", upBytesPerMs: 1875, downBytesPerMs: null, latencyMs: 0, behind: null },
    ]);
    expect(scenario.fields).toEqual(["fleet.nodes", "fleet.cells"]);
  });

  it("may be a plain job: its devices and a server, as fast as this machine", () => {
    const scenario = parseScenario({ model: "mlp", data: "mnist", fleet: { devices: 2 } });
    expect(scenario.nodes.map(({ name, kind }) => [name, kind])).toEqual([
      ["device-1", "device"],
      ["device-2", "device"],
      ["edge", "edge"],
    ]);
    expect(scenario.fields).toEqual([]);
    expect(parseScenario({ model: "mlp", data: "mnist", planner: "local" }).nodes).toHaveLength(1);
  });

  it("says faults and traces in milliseconds and bytes", () => {
    const { faults, traces } = parseScenario(
      changed({
        faults: [
          { crash: "phone-1", at: 5, for: 2, power: true, disk: "lost" },
          { restart: "coordinator", at: 1 },
          { partition: "phone-2", at: 3, for: 4 },
        ],
        traces: [
          {
            node: "phone-1",
            speed: [
              [0, 1],
              [2, 0.5],
            ],
          },
          { link: "cell", mbit: [[1, 8]], way: "up" },
          { link: "phone-2", mbit: "ride.csv" },
          { link: "cell", ms: [[3, 20]] },
          {
            node: "phone-2",
            behind: [
              [0, "cell"],
              [9, null],
            ],
          },
        ],
      }),
    );
    expect(faults).toEqual([
      { kind: "crash", node: "phone-1", atMs: 5000, forMs: 2000, isSilent: true, losesDisk: true },
      { kind: "crash", node: "coordinator", atMs: 1000, forMs: 1000 },
      { kind: "partition", nodes: ["phone-2"], atMs: 3000, forMs: 4000 },
    ]);
    expect(traces).toEqual([
      {
        kind: "speed",
        node: "phone-1",
        points: [
          [0, 1],
          [2000, 0.5],
        ],
      },
      { kind: "rate", of: "cell", way: "up", points: [[1000, 1000]] },
      { kind: "rate", of: "phone-2", way: "both", path: "ride.csv" },
      { kind: "latency", of: "cell", points: [[3000, 20]] },
      {
        kind: "cell",
        node: "phone-2",
        points: [
          [0, "cell"],
          [9000, null],
        ],
      },
    ]);
  });

  it.each<[what: string, raw: object, message: RegExp]>([
    ["a field that does not exist", changed({ fualts: [] }), /fualts: got \[\]/],
    ["one of a node", changed({}, { nodes: [{ name: "a", kind: "device", colour: 1 }] }), /colour/],
    [
      "a name for many",
      changed({}, { nodes: [{ name: "a", kind: "device", count: 2 }] }),
      /a-\{n\}/,
    ],
    [
      "two speeds",
      changed({}, { nodes: [{ name: "a", kind: "device", speed: 1, gflops: 1 }] }),
      /both speed and gflops/,
    ],
    ["devices and nodes", changed({}, { devices: 3 }), /both devices and nodes/],
    ["a cell that is not there", changed({}, { cells: [] }), /fleet\.nodes\.1\.behind: got "cell"/],
    [
      "a cell behind itself",
      changed({}, { cells: [{ name: "cell", behind: "cell" }] }),
      /another cell/,
    ],
    [
      "a fault of nobody",
      changed({ faults: [{ pause: "x", at: 1, for: 1 }] }),
      /faults\.0\.pause: got "x"/,
    ],
    ["a fault without an end", changed({ faults: [{ pause: "edge", at: 1 }] }), /faults\.0/],
    [
      "a trace of nobody",
      changed({ traces: [{ link: "x", mbit: "a.csv" }] }),
      /traces\.0\.link: got "x"/,
    ],
    [
      "a move to nowhere",
      changed({ traces: [{ node: "edge", behind: [[0, "x"]] }] }),
      /traces\.0\.behind\.0\.1: got "x"/,
    ],
    ["a name twice", changed({}, { cells: [{ name: "cell" }, { name: "edge" }] }), /"edge" twice/],
    ["a coordinator on nothing", changed({}, { coordinator: "x" }), /fleet\.coordinator: got "x"/],
    ["a field of the job", changed({ rounds: 0 }), /rounds: got 0/],
  ])("refuses %s", (_, raw, message) => {
    expect(() => parseScenario(raw)).toThrow(InputError);
    expect(() => parseScenario(raw)).toThrow(message);
  });
});

describe("a table of layers", () => {
  const text = readFileSync(`${folder}/layers.csv`, "utf8");
  const layers = readLayers(text, "layers.csv");

  it("becomes a model with just these costs, a segment for each layer", () => {
    const { job } = parseScenario({ model: "layers.csv", batch: 8 });
    const { costs } = new CompiledJob(job, layerModel(layers));
    expect(costs).toHaveLength(layers.length);
    for (const [i, { outputBytes, parameterBytes }] of layers.entries()) {
      const [output] = costs[i]?.outputs ?? [];
      expect(output?.shape).toEqual([8, outputBytes / 4]);
      expect(costs[i]?.parameterBytes).toBe(parameterBytes);
    }
    expect(layerProfile(layers, "edge", "").segments[0]).toEqual({
      forwardMs: 0.9,
      backwardMs: 1.7,
      updateMs: 0,
    });
  });

  it.each([
    ["layer,outputBytes,parameterBytes\na,3,0", /:2: outputBytes: got 3; allowed: a multiple of 4/],
    ["layer,outputBytes,parameterBytes\na,4,x", /:2: parameterBytes: got x/],
    ["layer,outputBytes,parameterBytes\na,4,0\na,4,0", /:3: layer: got "a"/],
    ["layer,outputBytes,parameterBytes,gpuForwardMs\na,4,0,1", /column: got gpuForwardMs/],
    ["layer", /table: got no rows/],
  ])("is refused where it makes no sense: %j", (bad, message) => {
    expect(() => readLayers(bad, "t.csv")).toThrow(message);
  });

  it("says nothing of a kind of node without columns", () => {
    expect(() => layerProfile(layers, "cloud", "t.csv")).toThrow(/cloudForwardMs/);
  });
});

it("reads points of a trace with or without names", () => {
  expect(readPoints("s,mbit\n0,20\n6,8\n", "")).toEqual([
    [0, 20],
    [6, 8],
  ]);
  expect(readPoints("0,1\n", "")).toEqual([[0, 1]]);
  expect(() => readPoints("0,1\n2\n", "t.csv")).toThrow(/t\.csv:2/);
});

describe("examples of scenarios", () => {
  const files = readdirSync(folder).filter((file) => file.endsWith(".yaml"));

  it.each(files)("%s runs to its end, and the same again", async (file) => {
    const scenario = parseScenario(parse(readFileSync(`${folder}/${file}`, "utf8")));
    const ready = await readyScenario(scenario, folder);
    const came = await runScenario(scenario, ready);
    expect(came.result.end.reason).toBe("finished");
    // Rounds that a move cuts short are made up for by others.
    const moves = came.summary.rounds - scenario.job.rounds;
    expect(moves).toBeGreaterThanOrEqual(0);
    const isMoving = ["feature-replay", "pipeline"].includes(scenario.job.planner);
    if (!isMoving) expect(moves).toBe(0);
    expect(came.calm !== null).toBe(scenario.faults.length > 0);
    expect((await runScenario(scenario, ready)).result.records).toEqual(came.result.records);
  });
});
