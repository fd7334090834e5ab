/** A plan in virtual time: whether a round takes there what the planner says. */
import { loadModel, type Planner } from "edgeloom";
import { nullEngine, type SimNode, simulate } from "edgeloom/sim";
import { type Cell, fleetOf, jobOf, type Measured } from "./parallel-split-fleet.ts";

/**
 * Devices are behind one cell, and reach the edge server straight; the coordinator is elsewhere, behind
 * a link that limits nothing. The second round counts, in which nobody joins any more.
 */
export async function virtualRoundMs(
  measured: Measured,
  cell: Cell,
  { draw, planner }: { readonly draw: number; readonly planner: Planner },
): Promise<number> {
  const job = jobOf(measured.model, cell);
  const model = loadModel(job, ".");
  const inputShape = model.graph.inputs[0]?.shape.slice(1) as number[];
  const nodes = fleetOf(measured, cell, draw).map((node): SimNode => {
    const { name, kind, duty, profile, memoryBytes, ceilingBytesPerMs, latencyMs, samples } = node;
    const wire = { upBytesPerMs: null, downBytesPerMs: null, jitterMs: 0, loss: 0 };
    const train = kind === "device" ? { samples, inputShape, classes: 10 } : null;
    return {
      ...{
        name,
        kind,
        duty,
        profile,
        memoryBytes,
        ceilingBytesPerMs,
        latencyMs,
        train,
        test: null,
      },
      wire: { ...wire, cell: kind === "device" ? "cell" : null },
    };
  });
  const { bytesPerMs } = cell;
  const { records, end } = await simulate({
    ...{ job, model, nodes, planner, engine: nullEngine },
    cells: [{ name: "cell", upBytesPerMs: bytesPerMs, downBytesPerMs: bytesPerMs, behind: null }],
  });
  const last = records.findLast(({ record }) => record.type === "round")?.record;
  if (last?.type !== "round") throw new Error(`no round was committed: ${end.text}`);
  return last.ms;
}
