/** Costs of segments, from the operators' own rules: what planners know of a model. */
import { byteLength, type TensorType } from "../base/tensor.ts";
import type { Graph } from "./graph.ts";
import { inferTypes, resolve } from "./infer.ts";
import { optimizerState } from "./optimizer.ts";
import { peakBytes } from "./peak-memory.ts";
import { type Port, type Program, stagePrograms, type TrainingSpec } from "./program.ts";
import type { Segment, SegmentCost } from "./segment.ts";

/**
 * Costs of every segment. Backward flops are counted on the backward programs
 * that really run, not assumed to be twice the forward ones.
 */
export function segmentCosts(
  graph: Graph,
  segments: readonly Segment[],
  spec: TrainingSpec,
): SegmentCost[] {
  const types = inferTypes(graph);
  /** What two segments need in backward, the one that gave it and the one that took it, is saved once. */
  const counted = new Set<string>();
  return segments.map((segment): SegmentCost => {
    const { index, name, outputs, taken } = segment;
    // What is saved is told for stages that save; planners know what recomputing makes of it.
    const saving = { ...spec, recompute: false };
    const { forward, backward, step } = stagePrograms(graph, segments, index, index + 1, saving);
    const forwardFlops = flopsOf(segment.nodes, types);
    const backwardFlops =
      step === null ? programFlops(backward) : programFlops(step) - forwardFlops;
    const saved = [
      ...(forward?.outputs.filter(({ role }) => role === "saved") ?? []),
      ...((step ?? backward)?.inputs.filter(isEntering) ?? []),
    ].filter(({ of }) => !counted.has(of));
    for (const { of } of saved) counted.add(of);
    return {
      index,
      name,
      forwardFlops,
      backwardFlops,
      outputs,
      parameterBytes: bytes(segment.parameters),
      stateBytes: bytes(
        segment.parameters.flatMap((parameter) => optimizerState(spec.optimizer, parameter)),
      ),
      savedBytes: bytes(saved),
      workingBytes: Math.max(...[forward, backward, step].map(workingBytes)),
      ...(taken !== null && { columns: taken.columns }),
    };
  });
}

const isEntering = ({ role }: Port): boolean => role === "feature" || role === "columns";

const bytes = (tensors: readonly TensorType[]): number =>
  tensors.reduce((sum, type) => sum + byteLength(type), 0);

const workingBytes = (program: Program | null): number =>
  program === null ? 0 : peakBytes(program.graph);

const programFlops = (program: Program | null): number =>
  program === null ? 0 : flopsOf(program.graph.nodes, inferTypes(program.graph));

function flopsOf(nodes: Graph["nodes"], types: ReadonlyMap<string, TensorType>): number {
  let flops = 0;
  for (const node of nodes) {
    const { rule, attributes } = resolve(node);
    const inputs = node.inputs.map((name) => types.get(name) ?? null);
    const outputs = node.outputs.flatMap((name) => types.get(name) ?? []);
    flops += rule.flops(inputs, outputs, attributes);
  }
  return flops;
}
