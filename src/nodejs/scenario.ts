/** Scenarios with what their files and this machine say: machines ready to be simulated. */
import { readFileSync } from "node:fs";
import { extname, resolve } from "node:path";
import { InputError, messageOf } from "../base/errors.ts";
import { bytesPerMsOfMbit } from "../base/units.ts";
import type { SegmentCost } from "../compile/segment.ts";
import type { Plan, Profile } from "../plan/plan.ts";
import { CompiledJob } from "../run/coordinator/compiled-job.ts";
import type { StartModel } from "../run/coordinator/training-state.ts";
import type { Engine } from "../run/host.ts";
import type { Job } from "../run/job.ts";
import { partyAt } from "../run/job-parties.ts";
import { RunFold, type RunSummary } from "../run/metrics/summary.ts";
import { nullEngine } from "../sim/engines.ts";
import type { SimNode, SimTrace } from "../sim/fleet.ts";
import { hollowSamples } from "../sim/host.ts";
import {
  hollowModel,
  type LayerCost,
  layerModel,
  layerProfile,
  readLayers,
  readPoints,
  readProfile,
} from "../sim/layer-table.ts";
import {
  ceilingOf,
  type Scenario,
  type ScenarioNode,
  type ScenarioTrace,
} from "../sim/scenario.ts";
import { type SimulationOptions, type SimulationResult, simulate } from "../sim/simulate.ts";
import { NativeEngine } from "./engine.ts";
import { profileModel } from "./measure.ts";
import { loadModel } from "./model-files.ts";

/** How long nodes try to come back, and how long a run waits for them when it cannot go on without. */
const patienceMs = 600_000;

/** A scenario that is ready to run, with the null engine. */
export type ReadyScenario = SimulationOptions;

/** How the machine that simulates is measured. */
export interface MeasuringOptions {
  /** Measures it and stays open; a native engine of its own where absent. */
  readonly engine?: Engine;
  /** What it was measured at before, for the job's model and batch: it is not measured again. */
  readonly profile?: Profile;
}

/**
 * Reads what a scenario names, relative to `folder`, and measures this machine where a node's
 * speed is said by it.
 * @throws InputError for files that cannot be read or do not fit, ModelError for a bad model
 */
export async function readyScenario(
  scenario: Scenario,
  folder: string,
  measuring: MeasuringOptions = {},
): Promise<ReadyScenario> {
  const { job, cells, coordinatorOn, faults } = scenario;
  const { model, layers } = scenarioModel(job, folder);
  const profileOf = await profiles(scenario, { model, layers, folder }, measuring);
  const input = model.graph.inputs[0]?.shape.slice(1) as number[];
  const devices = scenario.nodes.filter(({ kind }) => kind === "device");
  const nodes = scenario.nodes.map((node): SimNode => {
    const { name, kind, duty, memoryBytes, energy, latencyMs, wire, samples, reachable } = node;
    return {
      name,
      kind,
      duty,
      memoryBytes,
      latencyMs,
      wire,
      ...(reachable === undefined ? {} : { reachable }),
      ...(energy === undefined ? {} : { energy }),
      profile: profileOf(node),
      ceilingBytesPerMs: ceilingOf(wire),
      train:
        samples === 0 ? null : hollowSamples(samples, input, partyAt(job, devices.indexOf(node))),
      test: null,
    };
  });
  const traces = scenario.traces.map((trace) => traceOf(trace, folder));
  return {
    job,
    model,
    nodes,
    cells,
    coordinatorOn,
    faults,
    traces,
    patienceMs,
    engine: nullEngine,
  };
}

/** The job's model: a built-in one, an ONNX file, or a table of layers (.csv). */
function scenarioModel(
  job: Job,
  folder: string,
): { model: StartModel; layers: readonly LayerCost[] | null } {
  if (extname(job.model) !== ".csv") {
    return { model: hollowModel(loadModel(job, folder)), layers: null };
  }
  const layers = readLayers(textOf(job.model, folder, "model"), job.model);
  return { model: layerModel(layers), layers };
}

function textOf(path: string, folder: string, what: string): string {
  try {
    return readFileSync(resolve(folder, path), "utf8");
  } catch (error) {
    throw new InputError(
      { what, received: `${path} (${messageOf(error)})`, allowed: "a readable file" },
      { cause: error },
    );
  }
}

interface ProfiledModel {
  readonly model: StartModel;
  readonly layers: readonly LayerCost[] | null;
  readonly folder: string;
}

/** How fast each node runs the model; what many share is read, measured and computed once. */
async function profiles(
  { job, nodes }: Scenario,
  { model, layers, folder }: ProfiledModel,
  measuring: MeasuringOptions,
): Promise<(node: ScenarioNode) => Profile> {
  const { costs } = new CompiledJob(job, model);
  const files = new Map<string, Profile>();
  const measured =
    layers === null && nodes.some(({ speed }) => speed.of === "this machine")
      ? await measure(job, folder, measuring)
      : null;
  const fromFile = (path: string): Profile => {
    const known = files.get(path);
    if (known !== undefined) return known;
    const profile = readProfile(textOf(path, folder, "profile"), path);
    requireSegments(profile, costs, path);
    files.set(path, profile);
    return profile;
  };
  return ({ kind, speed }) => {
    if (speed.of === "profile") return fromFile(speed.path);
    if (speed.of === "GFLOP/s") return computedProfile(costs, speed.value);
    if (measured !== null) return faster(measured, speed.factor);
    return faster(layerProfile(layers ?? [], kind, job.model), speed.factor);
  };
}

async function measure(
  job: Job,
  folder: string,
  { engine, profile }: MeasuringOptions,
): Promise<Profile> {
  if (profile !== undefined) return profile;
  const own = engine ?? new NativeEngine();
  try {
    return await profileModel(job, loadModel(job, folder), own);
  } finally {
    if (engine === undefined) await own.close();
  }
}

function requireSegments(profile: Profile, costs: readonly SegmentCost[], path: string): void {
  if (profile.segments.length === costs.length) return;
  throw new InputError({
    what: "profile",
    received: `${profile.segments.length} rows`,
    allowed: `a row for each of the model's ${costs.length} segments (edgeloom inspect lists them)`,
    where: path,
  });
}

/** An update reads gradient, parameter and state of each number and computes a little with them. */
const updateFlops = 6;

/** A machine that does so many 10^9 operations a second, whichever they are. */
function computedProfile(costs: readonly SegmentCost[], gflops: number): Profile {
  const msOf = (flops: number): number => flops / (gflops * 1e6);
  const segments = costs.map(({ forwardFlops, backwardFlops, parameterBytes }) => ({
    forwardMs: msOf(forwardFlops),
    backwardMs: msOf(backwardFlops),
    updateMs: msOf((updateFlops * parameterBytes) / Float32Array.BYTES_PER_ELEMENT),
  }));
  return { segments, runMs: 0, callMs: 0 };
}

function faster({ segments, runMs, callMs }: Profile, factor: number): Profile {
  return {
    segments: segments.map(({ forwardMs, backwardMs, updateMs }) => ({
      forwardMs: forwardMs / factor,
      backwardMs: backwardMs / factor,
      updateMs: updateMs / factor,
    })),
    runMs: runMs / factor,
    callMs: callMs / factor,
  };
}

function traceOf(trace: ScenarioTrace, folder: string): SimTrace {
  if ("points" in trace) return trace;
  const { path, ...rest } = trace;
  const inSeconds = readPoints(textOf(path, folder, "trace"), path);
  const points = inSeconds.map(([seconds, value]) => [1000 * seconds, value] as const);
  if (rest.kind !== "rate") return { ...rest, points };
  return { ...rest, points: points.map(([atMs, mbit]) => [atMs, bytesPerMsOfMbit(mbit)]) };
}

/** What a scenario came to. */
export interface ScenarioResult {
  readonly result: SimulationResult;
  readonly summary: RunSummary;
  /** The plans in their order, with the round before which each was made. */
  readonly plans: readonly {
    readonly plan: Plan;
    readonly reason: string;
    readonly round: number;
  }[];
  /** What nodes cost by their price, from the start to the end. */
  readonly price: number;
  /** The same without faults, to compare with; null where nothing goes wrong. */
  readonly calm: { readonly virtualMs: number; readonly end: string } | null;
}

/** Runs a scenario in virtual time, and once more without its faults where it has any. */
export async function runScenario(
  scenario: Scenario,
  ready: ReadyScenario,
): Promise<ScenarioResult> {
  const result = await simulate(ready);
  const fold = new RunFold();
  const plans: ScenarioResult["plans"][number][] = [];
  for (const { record } of result.records) {
    fold.add(record);
    if (record.type === "planned") plans.push(record);
  }
  const perHour = scenario.nodes.reduce((sum, { pricePerHour }) => sum + pricePerHour, 0);
  const calm = scenario.faults.length === 0 ? null : await simulate({ ...ready, faults: [] });
  return {
    result,
    summary: fold.summary,
    plans,
    price: (perHour * result.virtualMs) / 3.6e6,
    calm: calm === null ? null : { virtualMs: calm.virtualMs, end: calm.end.reason },
  };
}
