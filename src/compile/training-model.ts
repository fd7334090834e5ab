/** A model as it is trained: its training form at a batch size, in segments. */
import type { Parties } from "./columns.ts";
import type { Graph } from "./graph.ts";
import { type Segment, segmentModel } from "./segment.ts";
import { specialize } from "./specialize.ts";
import { trainingForm } from "./training-form.ts";

/** What decides how a model is cut and compiled; equal on every node of a run, which `jobSpecOf` tells. */
export interface TrainingShape {
  /** Samples per step. */
  readonly batch: number;
  /** Most tensors that may cross a border between stages. */
  readonly cutTensors: number;
  /** Who holds which columns of the input; one node holds all where absent. */
  readonly parties?: Parties | undefined;
}

/** A model ready to be split into stages. */
export interface TrainingModel {
  readonly graph: Graph;
  readonly segments: readonly Segment[];
}

/** @throws ModelError when the model cannot be trained at this batch size */
export function trainingModel(
  structure: Graph,
  { batch, cutTensors, parties }: TrainingShape,
): TrainingModel {
  const graph = trainingForm(specialize(structure, { batch }));
  return { graph, segments: segmentModel(graph, { tensorsMax: cutTensors, parties }) };
}
