/**
 * Scenarios: a job file that also says on which machines the job runs, over which links, what
 * changes over time and what goes wrong. `docs/scenarios.md` describes every field. Files that
 * a scenario names (profiles, traces) are read by whoever has files.
 */
import * as z from "zod/mini";
import { present } from "../base/assert.ts";
import { InputError } from "../base/errors.ts";
import { namePattern } from "../base/ids.ts";
import { bytesPerMsOfMbit } from "../base/units.ts";
import type { EnergyLimit } from "../plan/plan.ts";
import {
  energyFields,
  energyLimit,
  energySchema,
  issueError,
  type Job,
  parseJob,
} from "../run/job.ts";
import type { SimFault } from "./faults.ts";
import { openWire, type SimCell, type SimTrace, type SimWire } from "./fleet.ts";

/** How fast a node computes. */
export type ScenarioSpeed =
  /** As fast as the machine that simulates, or so many times as fast. */
  | { readonly of: "this machine"; readonly factor: number }
  /** So many operations on floating-point numbers, in 10^9 a second. */
  | { readonly of: "GFLOP/s"; readonly value: number }
  /** As a file says, segment by segment. */
  | { readonly of: "profile"; readonly path: string };

/** A machine as a scenario describes it. */
export interface ScenarioNode {
  readonly name: string;
  readonly kind: "device" | "edge" | "cloud";
  readonly duty: number;
  readonly speed: ScenarioSpeed;
  readonly memoryBytes: number | null;
  /** What it may spend, where that is limited. */
  readonly energy?: EnergyLimit;
  readonly pricePerHour: number;
  readonly samples: number;
  readonly latencyMs: number;
  readonly wire: SimWire;
  /** Whether other nodes may connect to it; see `SimNode` for what holds where absent. */
  readonly reachable?: boolean;
}

/** A trace; points that are numbers may stand in a file. */
export type ScenarioTrace = SimTrace | InFile<Exclude<SimTrace, { kind: "cell" }>>;
type InFile<T> = T extends unknown ? Omit<T, "points"> & { readonly path: string } : never;

/** A checked scenario with every default filled in. */
export interface Scenario {
  readonly job: Job;
  readonly nodes: readonly ScenarioNode[];
  readonly cells: readonly SimCell[];
  /** The node that the coordinator runs on. */
  readonly coordinatorOn: string | null;
  readonly traces: readonly ScenarioTrace[];
  readonly faults: readonly SimFault[];
  /** Fields that only scenarios have, as they stand in the file: none in a plain job. */
  readonly fields: readonly string[];
}

const positive = z.number().check(z.positive());
const nonnegative = z.number().check(z.nonnegative());
const share = z.number().check(z.nonnegative(), z.lt(1));
const name = z.string().check(z.regex(namePattern, "letters, digits, _ . -"));
/** {n} stands for the number of a node that is one of many. */
const pattern = z
  .string()
  .check(
    z.refine(
      (text) => namePattern.test(text.replace("{n}", "1")),
      "letters, digits, _ . -, and {n}",
    ),
  );
const rate = z._default(z.nullable(positive), null);

const nodeSchema = z.strictObject({
  name: pattern,
  kind: z.enum(["device", "edge", "cloud"]),
  count: z._default(z.int().check(z.positive()), 1),
  duty: z._default(z.number().check(z.positive(), z.maximum(1)), 1),
  speed: z.optional(positive),
  gflops: z.optional(positive),
  profile: z.optional(z.string()),
  memoryMB: z._default(z.nullable(positive), null),
  energy: z.optional(energySchema),
  pricePerHour: z._default(nonnegative, 0),
  samples: z.optional(z.int().check(z.nonnegative())),
  upMbit: rate,
  downMbit: rate,
  ms: z._default(nonnegative, 0),
  jitterMs: z._default(nonnegative, 0),
  loss: z._default(share, 0),
  behind: z._default(z.nullable(name), null),
  reachable: z.optional(z.boolean()),
});

const cellSchema = z.strictObject({
  name,
  upMbit: rate,
  downMbit: rate,
  ms: z._default(nonnegative, 0),
  behind: z._default(z.nullable(name), null),
});

const points = (value: z.ZodMiniType<number>) =>
  z.union([z.string(), z.array(z.tuple([nonnegative, value])).check(z.minLength(1))]);

const traceSchema = z.union([
  z.strictObject({ node: name, speed: points(positive) }),
  z.strictObject({
    node: name,
    behind: z.array(z.tuple([nonnegative, z.nullable(name)])).check(z.minLength(1)),
  }),
  z.strictObject({ link: name, ms: points(nonnegative) }),
  z.strictObject({
    link: name,
    mbit: points(nonnegative),
    way: z._default(z.enum(["up", "down", "both"]), "both"),
  }),
]);

const at = nonnegative;
const faultSchema = z.union([
  z.strictObject({
    crash: name,
    at,
    for: z.optional(positive),
    power: z._default(z.boolean(), false),
    disk: z._default(z.enum(["kept", "lost"]), "kept"),
  }),
  z.strictObject({ restart: name, at }),
  z.strictObject({ notice: name, at, within: positive, for: z.optional(positive) }),
  z.strictObject({ pause: name, at, for: positive }),
  z.strictObject({ partition: z.union([name, z.array(name)]), at, for: positive }),
  z.strictObject({
    cut: z.tuple([name, name]),
    at,
    for: positive,
    reset: z._default(z.boolean(), false),
  }),
  z.strictObject({ slow: name, at, for: positive, factor: positive }),
]);

const scenarioSchema = z.strictObject({
  fleet: z.strictObject({
    nodes: z.optional(z.array(nodeSchema).check(z.minLength(1))),
    cells: z._default(z.array(cellSchema), []),
    coordinator: z._default(z.nullable(name), null),
  }),
  traces: z._default(z.array(traceSchema), []),
  faults: z._default(z.array(faultSchema), []),
});

type Parsed = z.infer<typeof scenarioSchema>;
type Locate = (path: readonly PropertyKey[]) => string;

/** How long a machine that is restarted is away. */
const restartMs = 1000;
/** Samples of a device that does not say how many it holds. */
const samplesOfDevice = 1000;
/** A server as fast as this machine, where a fleet names none. */
const servers = [{ name: "edge", kind: "edge" }] as const;

/**
 * Checks a scenario, or a plain job, which is one of devices and a server as fast as the machine
 * that simulates, without trouble.
 * @param locate says where in the file a field is
 * @throws InputError naming the field, what was received and what is allowed
 */
export function parseScenario(raw: unknown, locate: Locate = () => "scenario"): Scenario {
  const { own, job: rest, fields } = divide(raw);
  const parsed = scenarioSchema.safeParse(own);
  if (!parsed.success) {
    throw issueError(own, present(parsed.error.issues[0], "an issue"), locate);
  }
  const { fleet, traces, faults } = parsed.data;
  const stated = fleet.nodes?.flatMap((node, i) => expanded(node, i, locate)) ?? null;
  const job = parseJob(stated === null ? rest : withDevices(rest, stated), locate);
  const nodes = stated ?? [...jobNodes(job), ...(job.planner === "local" ? [] : jobServers())];
  const cells = fleet.cells.map(({ name: own, upMbit, downMbit, ms, behind }) => ({
    name: own,
    upBytesPerMs: rateOf(upMbit),
    downBytesPerMs: rateOf(downMbit),
    latencyMs: ms,
    behind,
  }));
  const known: Known = { nodes, cells, locate };
  checkNames(fleet, known);
  return {
    job,
    nodes,
    cells,
    coordinatorOn: fleet.coordinator,
    traces: traces.map((trace, i) => traceOf(trace, i, known)),
    faults: faults.map((fault, i) => faultOf(fault, i, known)),
    fields,
  };
}

const rateOf = (mbit: number | null): number | null =>
  mbit === null ? null : bytesPerMsOfMbit(mbit);

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** What a scenario adds to a job, and the job without it. */
function divide(raw: unknown): { own: unknown; job: unknown; fields: string[] } {
  if (!isObject(raw)) return { own: { fleet: {} }, job: raw, fields: [] };
  const { traces, faults, fleet, ...job } = raw;
  // Of a table of layers nothing is trained, so it needs no data.
  if (typeof job.model === "string" && job.model.endsWith(".csv")) job.data ??= { csv: job.model };
  const own: Record<string, unknown> = { fleet: {} };
  const fields: string[] = [];
  if (traces !== undefined) own.traces = traces;
  if (faults !== undefined) own.faults = faults;
  fields.push(...Object.keys(own).filter((field) => field !== "fleet"));
  if (!isObject(fleet)) return { own, job: fleet === undefined ? job : { ...job, fleet }, fields };
  const { nodes, cells, coordinator, ...rest } = fleet;
  const added = Object.entries({ nodes, cells, coordinator }).filter(([, v]) => v !== undefined);
  own.fleet = Object.fromEntries(added);
  fields.push(...added.map(([field]) => `fleet.${field}`));
  return { own, job: { ...job, fleet: rest }, fields };
}

/** The job's devices are those of the fleet. */
function withDevices(job: unknown, nodes: readonly ScenarioNode[]): unknown {
  if (!isObject(job)) return job;
  const fleet = isObject(job.fleet) ? job.fleet : {};
  if (fleet.devices !== undefined) {
    throw new InputError({
      what: "fleet.devices",
      received: "both devices and nodes",
      allowed: "one of them: nodes describe devices and servers",
    });
  }
  const mbit = (bytesPerMs: number): number => bytesPerMs / bytesPerMsOfMbit(1);
  const devices = nodes
    .filter(({ kind }) => kind === "device")
    .map((node) => {
      const ceiling = ceilingOf(node.wire);
      return {
        name: node.name,
        duty: node.duty,
        ...(ceiling === null ? {} : { ceilingMbit: mbit(ceiling) }),
        ...(node.memoryBytes === null ? {} : { memoryMB: node.memoryBytes / 1e6 }),
        ...(node.energy === undefined ? {} : { energy: energyFields(node.energy) }),
      };
    });
  return { ...job, fleet: { ...fleet, devices } };
}

/** What a node tells planners of its link: the slower of both ways; null where nothing limits it. */
export function ceilingOf({ upBytesPerMs, downBytesPerMs }: SimWire): number | null {
  const least = Math.min(upBytesPerMs ?? Infinity, downBytesPerMs ?? Infinity);
  return Number.isFinite(least) ? least : null;
}

function expanded(node: z.infer<typeof nodeSchema>, index: number, locate: Locate): ScenarioNode[] {
  const { count, name: named, kind, duty, memoryMB, pricePerHour, samples, behind } = node;
  const { reachable, energy } = node;
  const path = ["fleet", "nodes", index];
  if (count > 1 && !named.includes("{n}")) {
    throw new InputError({
      what: `fleet.nodes.${index}.name`,
      received: `${JSON.stringify(named)} for ${count} nodes`,
      allowed: `a name with {n}, which stands for each one's number: ${named}-{n}`,
      where: locate([...path, "name"]),
    });
  }
  const speed = speedOf(node, index, locate);
  const wire: SimWire = {
    upBytesPerMs: rateOf(node.upMbit),
    downBytesPerMs: rateOf(node.downMbit),
    jitterMs: node.jitterMs,
    loss: node.loss,
    cell: behind,
  };
  return Array.from({ length: count }, (_, i) => ({
    name: named.replace("{n}", String(i + 1)),
    kind,
    duty,
    speed,
    memoryBytes: memoryMB === null ? null : memoryMB * 1e6,
    ...(energy === undefined ? {} : { energy: energyLimit(energy) }),
    pricePerHour,
    samples: samples ?? (kind === "device" ? samplesOfDevice : 0),
    latencyMs: node.ms,
    wire,
    ...(reachable === undefined ? {} : { reachable }),
  }));
}

function speedOf(
  { speed, gflops, profile }: z.infer<typeof nodeSchema>,
  index: number,
  locate: Locate,
): ScenarioSpeed {
  const given = Object.entries({ speed, gflops, profile }).filter(([, v]) => v !== undefined);
  if (given.length > 1) {
    throw new InputError({
      what: `fleet.nodes.${index}`,
      received: `both ${given.map(([field]) => field).join(" and ")}`,
      allowed: "one of speed, gflops and profile",
      where: locate(["fleet", "nodes", index]),
    });
  }
  if (gflops !== undefined) return { of: "GFLOP/s", value: gflops };
  if (profile !== undefined) return { of: "profile", path: profile };
  return { of: "this machine", factor: speed ?? 1 };
}

const plainNode = {
  speed: { of: "this machine", factor: 1 },
  pricePerHour: 0,
  latencyMs: 0,
  wire: openWire,
} as const;

/** The devices of a plain job: their links are paced by the plan and limited by nothing else. */
const jobNodes = (job: Job): ScenarioNode[] =>
  job.fleet.devices.map(({ name: own, ceilingBytesPerMs: ceiling, ...limits }) => ({
    ...plainNode,
    ...limits,
    name: own,
    kind: "device",
    samples: samplesOfDevice,
    wire: { ...openWire, upBytesPerMs: ceiling, downBytesPerMs: ceiling },
  }));

const jobServers = (): ScenarioNode[] =>
  servers.map((server) => ({ ...plainNode, ...server, duty: 1, memoryBytes: null, samples: 0 }));

interface Known {
  readonly nodes: readonly ScenarioNode[];
  readonly cells: readonly SimCell[];
  readonly locate: Locate;
}

/** Refuses a name that means nothing here. */
function requireName(
  received: string,
  among: readonly { readonly name: string }[],
  at: { path: readonly PropertyKey[]; locate: Locate; what: string },
): void {
  if (among.some((one) => one.name === received)) return;
  const some = among.slice(0, 8).map((one) => one.name);
  const more = among.length > some.length ? ", ..." : "";
  throw new InputError({
    what: at.path.join("."),
    received: JSON.stringify(received),
    allowed:
      some.length === 0 ? `${at.what}, and there is none` : `${at.what}: ${some.join(", ")}${more}`,
    where: at.locate(at.path),
  });
}

function checkNames(fleet: Parsed["fleet"], { nodes, cells, locate }: Known): void {
  const all = [...nodes, ...cells].map(({ name: own }) => own);
  const twice = all.find((own, i) => all.indexOf(own) < i || own === "coordinator");
  if (twice !== undefined) {
    throw new InputError({
      what: "fleet",
      received: `${JSON.stringify(twice)} twice, or as a name that is taken`,
      allowed: 'names of their own for nodes and cells, and not "coordinator"',
      where: locate(["fleet"]),
    });
  }
  for (const [i, { behind }] of (fleet.nodes ?? []).entries()) {
    const path = ["fleet", "nodes", i, "behind"];
    if (behind !== null) requireName(behind, cells, { path, locate, what: "a cell" });
  }
  for (const [i, { behind, name: own }] of fleet.cells.entries()) {
    const path = ["fleet", "cells", i, "behind"];
    const others = cells.filter((cell) => cell.name !== own);
    if (behind !== null) requireName(behind, others, { path, locate, what: "another cell" });
  }
  if (fleet.coordinator !== null) {
    const path = ["fleet", "coordinator"];
    requireName(fleet.coordinator, nodes, { path, locate, what: "a node" });
  }
}

function traceOf(trace: Parsed["traces"][number], i: number, known: Known): ScenarioTrace {
  const { nodes, cells, locate } = known;
  const timed = <G, V>(given: readonly (readonly [number, G])[], value: (v: G) => V) =>
    given.map(([seconds, v]) => [1000 * seconds, value(v)] as const);
  if ("node" in trace) {
    const { node } = trace;
    requireName(node, nodes, { path: ["traces", i, "node"], locate, what: "a node" });
    if ("behind" in trace) {
      for (const [point, [, cell]] of trace.behind.entries()) {
        const path = ["traces", i, "behind", point, 1];
        if (cell !== null) requireName(cell, cells, { path, locate, what: "a cell" });
      }
      return { kind: "cell", node, points: timed(trace.behind, (cell) => cell) };
    }
    const { speed } = trace;
    if (typeof speed === "string") return { kind: "speed", node, path: speed };
    return { kind: "speed", node, points: timed(speed, (factor) => factor) };
  }
  const of = trace.link;
  const lines = [...nodes, ...cells];
  requireName(of, lines, { path: ["traces", i, "link"], locate, what: "a node or cell" });
  if ("ms" in trace) {
    if (typeof trace.ms === "string") return { kind: "latency", of, path: trace.ms };
    return { kind: "latency", of, points: timed(trace.ms, (ms) => ms) };
  }
  const { mbit, way } = trace;
  if (typeof mbit === "string") return { kind: "rate", of, way, path: mbit };
  return { kind: "rate", of, way, points: timed(mbit, bytesPerMsOfMbit) };
}

function faultOf(fault: Parsed["faults"][number], i: number, { nodes, locate }: Known): SimFault {
  const peers = [{ name: "coordinator" }, ...nodes];
  const checked = (field: string, node: string): string => {
    requireName(node, peers, { path: ["faults", i, field], locate, what: "a node" });
    return node;
  };
  const atMs = 1000 * fault.at;
  if ("restart" in fault) {
    return { kind: "crash", node: checked("restart", fault.restart), atMs, forMs: restartMs };
  }
  if ("notice" in fault) {
    const forMs = fault.for === undefined ? null : 1000 * fault.for;
    const node = checked("notice", fault.notice);
    return { kind: "notice", node, atMs, withinMs: 1000 * fault.within, forMs };
  }
  if ("crash" in fault) {
    return {
      kind: "crash",
      node: checked("crash", fault.crash),
      atMs,
      forMs: fault.for === undefined ? null : 1000 * fault.for,
      isSilent: fault.power,
      losesDisk: fault.disk === "lost",
    };
  }
  const forMs = 1000 * fault.for;
  if ("pause" in fault) return { kind: "pause", node: checked("pause", fault.pause), atMs, forMs };
  if ("slow" in fault) {
    return { kind: "slow", node: checked("slow", fault.slow), atMs, forMs, factor: fault.factor };
  }
  if ("cut" in fault) {
    const [a, b] = fault.cut;
    const between = [checked("cut", a), checked("cut", b)] as const;
    return { kind: "cut", between, atMs, forMs, isReset: fault.reset };
  }
  const inside = typeof fault.partition === "string" ? [fault.partition] : fault.partition;
  return { kind: "partition", nodes: inside.map((own) => checked("partition", own)), atMs, forMs };
}
