/** Scenarios for real processes of one machine: what each may take of it, and the same as virtual time needs it. */
import { readFileSync } from "node:fs";
import path from "node:path";
import {
  InputError,
  type Plan,
  type Profile,
  type ReadyScenario,
  readyScenario,
  scaledProfile,
  type TimedRecord,
} from "edgeloom";
import { parseScenario, type SimNode } from "edgeloom/sim";
import { parse } from "yaml";
import { stepMs } from "./measured.ts";
import type { SharePoints } from "./real-messages.ts";
import { ownServer, type RealRun } from "./real-run.ts";

/** More of this machine's cores are not for a fleet's nodes to share: the rest is for their coordinator and links. */
const coresMax = 1.5;

export interface Scene {
  readonly name: string;
  /** As a scenario file would say it. */
  readonly fields: {
    readonly fleet?: { readonly nodes?: readonly object[] };
    readonly traces?: readonly object[];
    readonly faults?: readonly object[];
  };
}

/** @throws InputError for a file that is no scenario */
export function sceneIn(file: string): Scene {
  const fields = parse(readFileSync(file, "utf8"));
  if (fields?.fleet?.nodes !== undefined) return { name: path.basename(file), fields };
  const received = "a job without fleet.nodes";
  throw new InputError({ what: "--scenario", received, allowed: "a scenario", where: file });
}

/** A scenario that is ready for processes. */
export interface RealScene {
  readonly name: string;
  readonly ready: ReadyScenario;
  /** The job as its file would say it, with the fleet's devices. */
  readonly job: object;
}

/**
 * A scenario without faults, and with the server in the coordinator's process.
 * @param jobFields what the job is, whatever the scenario says
 * @throws InputError for one that this machine has too few cores for
 */
export async function realScene(
  { name, fields }: Scene,
  jobFields: object,
  base: Profile,
): Promise<RealScene> {
  const server = { kind: "edge", ...ownServer };
  const nodes = [...(fields.fleet?.nodes ?? []), server];
  const fleet = { ...fields.fleet, nodes, coordinator: server.name };
  const scenario = parseScenario({ ...fields, ...jobFields, fleet, faults: [] });
  const ready = await readyScenario(scenario, ".", { profile: base });
  const cores = [...sharesOf(ready, base)]
    .filter(([node]) => node !== server.name)
    .reduce((sum, [, shares]) => sum + Math.max(...shares.map(([, share]) => share)), 0);
  if (cores > coresMax) {
    throw new InputError({
      what: "nodes of the scenario",
      received: `speeds of ${cores.toFixed(2)} cores of this machine`,
      allowed: `${coresMax} together`,
    });
  }
  const devices = scenario.job.fleet.devices.map((device) => ({ name: device.name }));
  const { cellBytesPerMs } = scenario.job.fleet;
  const cellMbit = cellBytesPerMs && cellBytesPerMs / 125;
  return { name, ready, job: { ...jobFields, fleet: { cellMbit, devices } } };
}

/** The last plan of a run. */
export function lastPlan(records: readonly TimedRecord[]): Plan {
  const last = records.findLast(({ record }) => record.type === "planned")?.record;
  if (last?.type !== "planned") throw new Error("no plan was made");
  return last.plan;
}

/** When whole rounds under the last plan began and ended; without its first, which waits for weights. */
export function roundsUnder(
  records: readonly TimedRecord[],
): (readonly [fromMs: number, toMs: number])[] {
  const term = records.findLast(({ record }) => record.type === "planned")?.record;
  return records
    .flatMap(({ atMs, record }) =>
      record.type === "round" && term?.type === "planned" && record.term === term.plan.term
        ? [[atMs - record.ms, atMs] as const]
        : [],
    )
    .slice(1);
}

/** How long those rounds took, shortest first. */
export const roundTimesMs = (records: readonly TimedRecord[]): number[] =>
  roundsUnder(records)
    .map(([fromMs, toMs]) => toMs - fromMs)
    .sort((a, b) => a - b);

/** Shortest and longest of them, in words. */
export function roundRangeText(records: readonly TimedRecord[]): string {
  const times = roundTimesMs(records);
  return `${((times[0] ?? 0) / 1000).toFixed(2)} to ${((times.at(-1) ?? 0) / 1000).toFixed(2)} s`;
}

/** By node its share of a core over time: of that of its machine, what its tenants leave. */
export function sharesOf(
  { nodes, traces = [] }: ReadyScenario,
  base: Profile,
): Map<string, SharePoints> {
  return new Map(
    nodes.map(({ name, profile }) => {
      const speed = stepMs(base) / stepMs(profile);
      const points = traces.flatMap((trace) =>
        trace.kind === "speed" && trace.node === name ? trace.points : [],
      );
      const own = points.length === 0 ? ([[0, 1]] as const) : points;
      return [name, own.map(([atMs, share]) => [atMs, speed * share] as const)];
    }),
  );
}

/** Nodes as fast as their processes were found to be, without the tenants of the beginning. */
export function asMeasured(
  nodes: readonly SimNode[],
  { profiles }: RealRun,
  shares: ReadonlyMap<string, SharePoints>,
  base: Profile,
): SimNode[] {
  return nodes.map((node) => {
    const found = profiles.get(node.name);
    if (found === undefined) return { ...node, profile: base };
    const speed = stepMs(base) / stepMs(node.profile);
    const [[, share] = [0, speed]] = shares.get(node.name) ?? [];
    return { ...node, profile: scaledProfile(found, (ms) => (ms * share) / speed) };
  });
}
