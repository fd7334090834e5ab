/** A plan in virtual time: whether a round takes there what the planner says. */
import { type FleetNode, loadModel, type Planner } from "edgeloom";
import { nullEngine, type SimNode, type SimulationOptions, simulate } from "edgeloom/sim";
import { type Cell, fleetOf, jobOf, type Measured } from "./parallel-split-fleet.ts";

/** The samples of a node. */
type SamplesOf = (node: FleetNode) => Pick<SimNode, "train" | "test">;

/**
 * A fleet as machines: devices are behind one cell, and reach the edge server straight; the coordinator
 * is elsewhere, behind a link that limits nothing.
 */
export function virtualFleet(
  nodes: readonly FleetNode[],
  { bytesPerMs }: Cell,
  samplesOf: SamplesOf,
): Required<Pick<SimulationOptions, "nodes" | "cells">> {
  const open = { upBytesPerMs: null, downBytesPerMs: null, jitterMs: 0, loss: 0 };
  return {
    nodes: nodes.map((node): SimNode => {
      const { name, kind, duty, profile, memoryBytes, ceilingBytesPerMs, latencyMs } = node;
      const limits = { duty, memoryBytes, ceilingBytesPerMs, latencyMs };
      const wire = { ...open, cell: kind === "device" ? "cell" : null };
      return { name, kind, profile, wire, ...limits, ...samplesOf(node) };
    }),
    cells: [{ name: "cell", upBytesPerMs: bytesPerMs, downBytesPerMs: bytesPerMs, behind: null }],
  };
}

/** The second round counts, in which nobody joins any more. */
export async function virtualRoundMs(
  measured: Measured,
  cell: Cell,
  { draw, planner }: { readonly draw: number; readonly planner: Planner },
): Promise<number> {
  const job = jobOf(measured.model, cell);
  const model = loadModel(job, ".");
  const inputShape = model.graph.inputs[0]?.shape.slice(1) as number[];
  const samplesOf: SamplesOf = ({ kind, samples }) => {
    return { train: kind === "device" ? { samples, inputShape, classes: 10 } : null, test: null };
  };
  const fleet = virtualFleet(fleetOf(measured, cell, draw), cell, samplesOf);
  const { records, end } = await simulate({ job, model, planner, engine: nullEngine, ...fleet });
  const last = records.findLast(({ record }) => record.type === "round")?.record;
  if (last?.type !== "round") throw new Error(`no round was committed: ${end.text}`);
  return last.ms;
}
