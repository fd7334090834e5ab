/**
 * Simulation of a whole run: the same coordinator and workers as on sockets, in
 * virtual time. With the null engine it answers what-if questions in
 * milliseconds; with the interpreter or a native engine it trains for real.
 */
import { present } from "../base/assert.ts";
import { InputError } from "../base/errors.ts";
import { runId } from "../base/ids.ts";
import type { Model } from "../compile/graph.ts";
import type { Profile } from "../plan/plan.ts";
import { Coordinator } from "../run/coordinator/coordinator.ts";
import type { CoordinatorEnd } from "../run/coordinator/farewell.ts";
import type { Engine } from "../run/host.ts";
import type { Job } from "../run/job.ts";
import type { TimedRecord } from "../run/metrics/record.ts";
import { Worker, type WorkerEnd } from "../run/worker/worker.ts";
import { type SimSamples, simHost } from "./host.ts";
import { simLinks } from "./link.ts";
import { World } from "./world.ts";

/** A simulated machine. */
export interface SimNode {
  readonly name: string;
  readonly kind: "device" | "edge" | "cloud";
  readonly duty: number;
  readonly profile: Profile;
  readonly memoryBytes: number | null;
  readonly ceilingBytesPerMs: number | null;
  /** One-way delay to the coordinator. */
  readonly latencyMs: number;
  readonly train: SimSamples | null;
  readonly test: SimSamples | null;
}

/** A node that dies without a word at a virtual time. */
export interface SimCrash {
  readonly node: string;
  readonly atMs: number;
}

/** A job, the machines that train it, and what goes wrong. */
export interface SimulationOptions {
  readonly job: Job;
  readonly model: Model;
  readonly nodes: readonly SimNode[];
  /** Makes each node's engine. */
  readonly engine: () => Engine;
  readonly crashes?: readonly SimCrash[];
  /** Nodes tell what they do all the time, as if somebody watched; it costs a little of their links. */
  readonly isWatched?: boolean;
}

/** How a simulated run went and ended. */
export interface SimulationResult {
  readonly end: CoordinatorEnd;
  readonly records: readonly TimedRecord[];
  /** What the coordinator stored, by name. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** How each worker ended, by name. */
  readonly workers: ReadonlyMap<string, WorkerEnd>;
  readonly virtualMs: number;
}

/**
 * Runs a job to its end in virtual time. The same options give the same records.
 * @throws InputError when the nodes are not those that the job waits for
 */
export async function simulate(options: SimulationOptions): Promise<SimulationResult> {
  const { job, nodes } = options;
  requireFleet(job, nodes);
  const world = new World();
  const records: TimedRecord[] = [];
  const files = new Map<string, Uint8Array>();
  const workers = new Map<string, WorkerEnd>();
  const engines: Engine[] = [];
  const ends: CoordinatorEnd[] = [];
  const hostOf = (name: string, node: SimNode | null) => {
    const engine = options.engine();
    engines.push(engine);
    return simHost(world, {
      name,
      seed: job.seed,
      engine,
      profile: node?.profile ?? null,
      batch: job.batch,
      train: node?.train ?? null,
      test: node?.test ?? null,
      files: node === null ? files : new Map(),
      record: (record) => {
        if (node === null) records.push({ atMs: world.now(), record });
      },
    });
  };
  const coordinator = new Coordinator(
    hostOf("coordinator", null),
    {
      run: runId(`${job.name}-simulated`),
      job,
      model: options.model,
      tickets: new Map(nodes.map((node) => [tokenOf(node), { kind: node.kind }])),
      edges: nodes.filter((node) => node.kind !== "device").length,
    },
    (end) => ends.push(end),
  );
  coordinator.watch(options.isWatched ?? false);
  for (const node of nodes) {
    const [near, far] = simLinks(world, { latencyMs: node.latencyMs, bytesPerMs: null });
    const crash = options.crashes?.find((candidate) => candidate.node === node.name);
    if (crash !== undefined) world.at(crash.atMs, () => near.close());
    coordinator.accept(far);
    new Worker(
      hostOf(node.name, node),
      near,
      {
        name: node.name,
        kind: node.kind,
        token: tokenOf(node),
        instance: node.name,
        machine: node.name,
        duty: node.duty,
        memoryBytes: node.memoryBytes,
        ceilingBytesPerMs: node.ceilingBytesPerMs,
      },
      { onEvent: () => {}, onEnd: (value) => workers.set(node.name, value) },
    );
  }
  // Who is refused leaves a place that nobody else will take: the run would never start.
  const refused = () => [...workers].find(([, { reason }]) => reason === "refused");
  await world.run(() => {
    return (ends.length > 0 && workers.size === nodes.length) || refused() !== undefined;
  });
  for (const engine of engines) await engine.close();
  const [name, { text = "" } = {}] = refused() ?? [];
  if (name !== undefined) throw fleetError(`${name}, refused: ${text}`);
  const end = present(ends[0], "the end of the run");
  return { end, records, files, workers, virtualMs: world.now() };
}

function requireFleet(job: Job, nodes: readonly SimNode[]): void {
  const names = nodes.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) throw fleetError(`two nodes named "${twice}"`);
  const devices = nodes.filter(({ kind }) => kind === "device").length;
  const asked = job.fleet.devices.length;
  if (devices !== asked) throw fleetError(`${devices} devices for a job of ${asked}`);
}

const fleetError = (received: string): InputError =>
  new InputError({
    what: "nodes of the simulation",
    received,
    allowed: "a node for each device of the job, with data that fit its model, and servers",
  });

const tokenOf = (node: SimNode): string => `token of ${node.name}`;
