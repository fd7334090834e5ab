/**
 * Simulation of a whole run: the same coordinator and workers as on sockets, in
 * virtual time. With the null engine it answers what-if questions in
 * milliseconds; with the interpreter or a native engine it trains for real.
 */
import { present } from "../base/assert.ts";
import { InputError } from "../base/errors.ts";
import { Hasher } from "../base/hash.ts";
import { nodeId, runId } from "../base/ids.ts";
import type { Program } from "../compile/program.ts";
import type { Plan, Planner } from "../plan/plan.ts";
import type { Forecaster } from "../plan/replan.ts";
import { Coordinator } from "../run/coordinator/coordinator.ts";
import type { CoordinatorEnd } from "../run/coordinator/farewell.ts";
import type { StartModel } from "../run/coordinator/training-state.ts";
import type { Engine, PeerAddress } from "../run/host.ts";
import type { Job } from "../run/job.ts";
import type { SpanKind, TimedRecord } from "../run/metrics/record.ts";
import type { JobSpec } from "../run/wire/messages.ts";
import { WorkerModel } from "../run/worker/worker-model.ts";
import type { WorkerEnd } from "../run/worker/worker-owner.ts";
import { attacking } from "./attacks.ts";
import { codingMsOf } from "./coding.ts";
import { type SimFault, schedule } from "./faults.ts";
import {
  accessOf,
  cellsOf,
  followLine,
  type SimCell,
  type SimNode,
  type SimTrace,
} from "./fleet.ts";
import { simHost } from "./host.ts";
import { legacyOn, simJournal } from "./journal.ts";
import { Machine, type Peer, type Start } from "./machine.ts";
import { type Access, type Cell, type Line, Network, type OwnLine } from "./network.ts";
import { isRefusedForGood, WorkerProcess } from "./worker-process.ts";
import { World } from "./world.ts";

/** A job, the machines that train it, and what goes wrong. */
export interface SimulationOptions {
  readonly job: Job;
  readonly model: StartModel;
  /** Plans in place of the one that the job names. */
  readonly planner?: Planner;
  /** What its plans are judged by while they are in force; they are kept for as long as they work where absent. */
  readonly forecaster?: Forecaster;
  readonly nodes: readonly SimNode[];
  /** Wires that nodes share. */
  readonly cells?: readonly SimCell[];
  /**
   * The node that the coordinator runs on and shares a link with, as under `serve`; where
   * absent it has a fast link of its own.
   */
  readonly coordinatorOn?: string | null;
  /** Makes an engine; called for each start of a peer. */
  readonly engine: () => Engine;
  readonly faults?: readonly SimFault[];
  readonly traces?: readonly SimTrace[];
  /**
   * How long nodes that were lost try to come back, and how long a run waits for them when it
   * cannot go on without; not at all where absent.
   */
  readonly patienceMs?: number;
  /** Whether to leave the run where it is; asked before every event. It runs to its end where absent. */
  readonly until?: (nowMs: number, records: readonly TimedRecord[]) => boolean;
  /** Nodes tell what they do all the time, as if somebody watched; it costs a little of their links. */
  readonly isWatched?: boolean;
  /** Told of each stretch of computing as it ends, by the node's name: all of them, and nothing travels for it. */
  readonly onWork?: (node: string, work: SimWork) => void;
}

/** What a node has computed. */
export interface SimWork {
  readonly kind: SpanKind;
  /** Virtual time. */
  readonly endMs: number;
  readonly ms: number;
}

/** How a simulated run went and ended. */
export interface SimulationResult {
  readonly end: CoordinatorEnd;
  readonly records: readonly TimedRecord[];
  /** What the coordinator stored, by name. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** How each worker ended, by name; one whose machine is off was lost. */
  readonly workers: ReadonlyMap<string, WorkerEnd>;
  readonly virtualMs: number;
}

/** What whoever runs on a machine says that will be taken away. */
const noticeText = "the machine is going";

/** The end of a run that was left where it was. */
const leftOpen: CoordinatorEnd = { reason: "interrupted", text: "the simulation went no further" };

/** The machine of the coordinator, in faults. */
export const coordinatorName = "coordinator";

/**
 * Runs a job to its end in virtual time. The same options give the same records.
 * @throws InputError when the nodes are not those that the job waits for, or a fault or trace
 *   names none of them
 */
export async function simulate(options: SimulationOptions): Promise<SimulationResult> {
  const simulation = new Simulation(options);
  const { until } = options;
  const stops = (): boolean => until?.(simulation.world.now(), simulation.records) ?? false;
  await simulation.run(stops);
  const { end, ...result } = simulation.result();
  if (end === null && stops()) return { end: leftOpen, ...result };
  return { end: present(end, "the end of the run"), ...result };
}

/** A simulation as an object: for those who look into it between events. */
export class Simulation {
  readonly world = new World();
  readonly network: Network;
  readonly machines = new Map<string, Machine>();
  readonly records: TimedRecord[] = [];
  readonly #options: SimulationOptions;
  readonly #workers = new Map<string, WorkerEnd>();
  readonly #engines: Engine[] = [];
  readonly #compiled = new Map<string, WorkerModel>();
  /** The newest plan. */
  #plan: Plan | null = null;
  #secrets = 0;
  /** Who was refused as it first came leaves a place that nobody else will take: the run would never begin. */
  #refused: string | null = null;
  #end: CoordinatorEnd | null = null;
  /** Until when a coordinator that was given notice will have been started again. */
  #returnsMs = -1;
  /** How long its machine stands still in all, which may put that off. */
  #stillMs = 0;

  /** @throws InputError as {@link simulate} does */
  constructor(options: SimulationOptions) {
    const { job, nodes, coordinatorOn = null } = options;
    requireFleet(job, nodes);
    this.#options = options;
    this.network = new Network(this.world, job.seed);
    const cells = cellsOf(options.cells ?? []);
    const accesses = new Map(nodes.map((node) => [node.name, accessOf(node, cells)]));
    const home = coordinatorOn === null ? null : named(accesses, coordinatorOn, "coordinatorOn");
    const coordinator = new Machine(
      this.network,
      {
        ...(home ?? accessOf({ name: coordinatorName, latencyMs: 0 }, cells)),
        name: coordinatorName,
      },
      (start) => this.#coordinate(start),
    );
    this.machines.set(coordinatorName, coordinator);
    for (const node of nodes) {
      const access = present(accesses.get(node.name), node.name);
      const work = (start: Start): Peer => this.#work(node, coordinator, start);
      this.machines.set(node.name, new Machine(this.network, access, work));
    }
    for (const fault of options.faults ?? []) this.#schedule(fault);
    for (const trace of options.traces ?? []) this.#follow(trace, cells, accesses);
    for (const machine of this.machines.values()) machine.boot();
  }

  /** Lets the run come to its end; `stops` is asked after every event whether to go no further. */
  async run(stops: () => boolean = () => false): Promise<void> {
    await this.world.run(() => stops() || this.isOver);
    for (const engine of this.#engines) await engine.close();
    if (this.#refused !== null) throw fleetError(this.#refused);
  }

  /** Whether the run has ended, and every worker that is on has heard of it. */
  get isOver(): boolean {
    if (this.#refused !== null) return true;
    if (this.#end === null || this.#isInterrupted) return false;
    for (const { name } of this.#options.nodes) {
      if (!this.#workers.has(name) && this.machines.get(name)?.isOn === true) return false;
    }
    return true;
  }

  /** Whether the run has ended for a while only: somebody is going to resume it. */
  get #isInterrupted(): boolean {
    return (
      this.#end?.reason === "interrupted" && this.world.now() <= this.#returnsMs + this.#stillMs
    );
  }

  result(): Omit<SimulationResult, "end"> & { readonly end: CoordinatorEnd | null } {
    const workers = new Map(this.#workers);
    for (const { name } of this.#options.nodes) {
      if (!workers.has(name)) workers.set(name, { reason: "lost", text: "the machine is off" });
    }
    return {
      end: this.#end,
      records: this.records,
      files: this.#machine(coordinatorName).disk.files,
      workers,
      virtualMs: this.world.now(),
    };
  }

  /** Whether the run waits for devices of which at least one has never come, and will not. */
  get isForsaken(): boolean {
    // A coordinator that has lost its disk begins anew, and knows of nobody who was there before.
    const newest = this.records.findLastIndex(({ record }) => {
      return record.type === "run" || record.type === "planned" || record.type === "resumed";
    });
    if (this.records[newest]?.record.type !== "run") return false;
    const come = new Set(
      this.records.slice(newest).map(({ record }) => (record.type === "joined" ? record.name : "")),
    );
    return this.#options.nodes.some(
      ({ name }) => !come.has(name) && (this.#workers.has(name) || !this.#machine(name).isOn),
    );
  }

  #machine(name: string): Machine {
    return named(this.machines, name, "node");
  }

  #coordinate(start: Start): Peer {
    const { job, model, nodes, isWatched, patienceMs = 0, planner, forecaster } = this.#options;
    const { journal } = start.disk;
    const legacy = legacyOn(journal);
    this.#end = null;
    const coordinator = new Coordinator(
      this.#host(coordinatorName, null, start),
      {
        run: runId(`${job.name}-simulated`),
        job,
        model,
        ...(planner === undefined ? {} : { planner }),
        ...(forecaster === undefined ? {} : { forecaster }),
        tickets: new Map(nodes.map((node) => [tokenOf(node), { kind: node.kind }])),
        edges: nodes.filter((node) => node.kind !== "device").length,
        journal: simJournal(start.clock, journal),
        // Nobody guesses here; what counts is that no two are the same.
        drawSecret: () => `secret number ${String(this.#secrets++).padStart(8, "0")}`,
        ...(legacy === undefined ? {} : { legacy }),
        patienceMs,
      },
      (end) => {
        this.#end = end;
      },
    );
    coordinator.watch(isWatched ?? false);
    return {
      accept: (link) => coordinator.accept(link),
      giveNotice: () => coordinator.interrupt(noticeText),
    };
  }

  #work(node: SimNode, coordinator: Machine, start: Start): Peer {
    const { name } = node;
    const { clock, starts } = start;
    this.#workers.delete(name);
    const processes: WorkerProcess[] = [];
    let instances = 0;
    const begin = (twin: { readonly instance: string | null } | null): void => {
      const process: WorkerProcess = new WorkerProcess({
        clock,
        host: this.#host(twin === null ? name : `${name} twin`, node, start),
        options: this.#workerOptions(node),
        instance: () => twin?.instance ?? `${starts}.${instances++}`,
        dial: (done) => start.dial(coordinator, done),
        isForGood: (end) =>
          !this.#helpsAgain(end, starts) || (twin !== null && end.reason === "refused"),
        onEnd: (end) => {
          processes.splice(processes.indexOf(process), 1);
          if (processes.length === 0) this.#workerEnded(name, end, starts);
        },
        onWork: (kind, ms) => this.#options.onWork?.(name, { kind, endMs: this.world.now(), ms }),
      });
      processes.push(process);
      process.join();
    };
    begin(null);
    return {
      // A twin listens where the first one did.
      accept: (link) => {
        const newest = processes.at(-1);
        if (newest === undefined) link.close();
        else newest.accept(link);
      },
      giveNotice: (withinMs) => {
        for (const process of [...processes]) process.giveNotice(noticeText, withinMs);
      },
      startTwin: (isSame) => {
        const [first] = processes;
        if (first !== undefined) begin({ instance: isSame ? first.instance : null });
      },
    };
  }

  #isReachable({ name, kind, reachable }: SimNode): boolean {
    return reachable ?? (kind !== "device" && name !== this.#options.coordinatorOn);
  }

  #workerOptions(node: SimNode) {
    const { name, kind, duty, memoryBytes, ceilingBytesPerMs, energy } = node;
    return {
      name,
      kind,
      token: tokenOf({ name }),
      machine: name,
      duty,
      memoryBytes,
      ceilingBytesPerMs,
      ...(energy === undefined ? {} : { energy }),
      address: this.#isReachable(node) ? addressOf(name) : null,
      patienceMs: this.#options.patienceMs ?? 0,
      compile: (structure: Uint8Array, job: JobSpec) => this.#compile(structure, job),
    };
  }

  /** Whether a worker that has ended so may do better when it is started again. */
  #helpsAgain(end: WorkerEnd, starts: number): boolean {
    // Told by a coordinator that had notice, perhaps after it has come back.
    if (end.reason === "interrupted") return this.#returnsMs >= 0;
    if (starts === 1 && isRefusedForGood(end)) return false;
    return end.reason === "lost" || end.reason === "refused";
  }

  #workerEnded(name: string, end: WorkerEnd, starts: number): void {
    this.#workers.set(name, end);
    if (starts === 1 && isRefusedForGood(end) && end.refusal !== "replaced")
      this.#refused ??= `${name}, refused: ${end.text}`;
  }

  /** Nodes that are sent the same model share what it compiles to: it never changes. */
  #compile(structure: Uint8Array, job: JobSpec): WorkerModel {
    const key = new Hasher().bytes(structure).text(JSON.stringify(job)).digest();
    const known = this.#compiled.get(key);
    if (known !== undefined) return known;
    const model = new WorkerModel(structure, job);
    this.#compiled.set(key, model);
    return model;
  }

  #host(name: string, node: SimNode | null, { clock, disk, starts, slowness, dial }: Start) {
    const { job } = this.#options;
    const own = this.#options.engine();
    const engine = node?.attack === undefined ? own : attacking(own, node.attack);
    this.#engines.push(engine);
    return simHost(clock, {
      name,
      life: starts,
      seed: job.seed,
      engine,
      profile: node?.profile ?? null,
      batch: job.batch,
      train: node?.train ?? null,
      test: node?.test ?? null,
      files: disk.files,
      slowness,
      codingMs: (program) => (node === null ? 0 : this.#codingMs(node, program)),
      record: (record) => {
        if (node !== null) return;
        this.records.push({ atMs: this.world.now(), record });
        if (record.type === "planned") this.#plan = record.plan;
      },
      dial: ({ url }, done) => dial(this.#machine(url), done),
    });
  }

  /** Coding by the newest plan: one is made when nothing is under way under the one before. */
  #codingMs({ name, codingSpeed: speed }: SimNode, program: Program): number {
    if (speed === undefined) return 0;
    const segments = [...this.#compiled.values()][0]?.costs;
    if (segments === undefined || this.#plan === null) return 0;
    return codingMsOf(this.#plan, { node: nodeId(name), speed, segments }, program);
  }

  #schedule(fault: SimFault): void {
    const { coordinatorOn } = this.#options;
    const isCoordinator = "node" in fault && [coordinatorName, coordinatorOn].includes(fault.node);
    if (fault.kind === "pause" && isCoordinator) this.#stillMs += fault.forMs;
    if (fault.kind === "notice" && isCoordinator) {
      const { atMs, withinMs, forMs = null } = fault;
      if (forMs !== null) {
        this.#returnsMs = Math.max(this.#returnsMs, atMs + Math.max(withinMs, forMs));
      }
    }
    schedule(fault, {
      world: this.world,
      network: this.network,
      machinesOf: (name) => {
        const machine = named(this.machines, name, `node of a fault (${fault.kind})`);
        return name === coordinatorOn ? [machine, this.#machine(coordinatorName)] : [machine];
      },
    });
  }

  #follow(
    trace: SimTrace,
    cells: ReadonlyMap<string, Cell>,
    accesses: ReadonlyMap<string, Access>,
  ): void {
    const what = `trace of a ${trace.kind}`;
    if (trace.kind !== "speed") {
      const ownLineOf = (node: string): OwnLine => named(accesses, node, what).line;
      const lineOf = (name: string): Line => cells.get(name) ?? ownLineOf(name);
      const { world, network } = this;
      return followLine(trace, { lineOf, ownLineOf, cells, world, network });
    }
    const machine = named(this.machines, trace.node, what);
    for (const [atMs, factor] of trace.points) {
      this.world.at(atMs, () => {
        machine.speed = factor;
      });
    }
  }
}

function requireFleet(job: Job, nodes: readonly SimNode[]): void {
  const names = new Set([coordinatorName]);
  for (const { name } of nodes) {
    if (names.has(name)) throw fleetError(`two nodes named "${name}"`);
    names.add(name);
  }
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

/** What a name means. @throws InputError where it means nothing */
function named<T>(all: ReadonlyMap<string, T>, name: string, what: string): T {
  const value = all.get(name);
  if (value !== undefined) return value;
  throw new InputError({
    what,
    received: JSON.stringify(name),
    allowed: `one of ${[...all.keys()].slice(0, 12).join(", ")}`,
  });
}

/** A machine's address is its name; the print stands for a certificate. */
const addressOf = (name: string): PeerAddress => ({ url: name, fingerprint: "0".repeat(43) });

const tokenOf = ({ name }: Pick<SimNode, "name">): string => `token of ${name}`;
