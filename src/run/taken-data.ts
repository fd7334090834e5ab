/** Which data fit a job: what its model takes and what its loss compares with. */
import { present } from "../base/assert.ts";
import { ModelError } from "../base/errors.ts";
import { formatType, sameShape } from "../base/tensor.ts";
import type { Graph } from "../compile/graph.ts";
import { inferTypes } from "../compile/infer.ts";
import { lossRule, requireEnding } from "../compile/loss.ts";
import { type DataShape, fitAdvice } from "../models/catalog.ts";
import type { Job } from "./job.ts";

/** Which data fit. */
export interface TakenData {
  /** Name of the model, for advice on how it is made to fit. */
  readonly model: string;
  /** One sample's shape. */
  readonly inputShape: readonly number[];
  /** Most classes that labels may be of; null where the loss does not look at them. */
  readonly classes: number | null;
}

/**
 * What a static graph takes with the job's loss.
 * @throws ModelError where the loss compares with anything but one class number for each sample,
 *   which is what data of a job have
 */
export function takenData(graph: Graph, { model, loss }: Pick<Job, "model" | "loss">): TakenData {
  requireEnding(graph, loss);
  const name = present(graph.outputs[0], "a model's output");
  const output = present(inferTypes(graph).get(name), name);
  const rule = lossRule(loss);
  const labels = rule.labels(output);
  if (labels.dtype !== "int64" || labels.shape.length !== 1) {
    throw new ModelError(
      `${loss.kind} compares ${formatType(output)} with ${formatType(labels)}; data of a job have ` +
        "one class number for each sample: see Loss in docs/jobs.md",
      { node: name },
    );
  }
  const input = present(graph.inputs[0], "a model's input");
  return {
    model,
    inputShape: input.shape.slice(1) as number[],
    classes: rule.classes(output),
  };
}

/** In which way data do not fit, in words; null where they do. */
export function misfitOf(data: DataShape, takes: TakenData): string | null {
  const advice = fitAdvice(takes.model, data);
  if (!sameShape(data.inputShape, takes.inputShape)) {
    return `samples of shape [${data.inputShape}] do not fit the model, which takes [${takes.inputShape}]${advice}`;
  }
  if (takes.classes !== null && data.classes > takes.classes) {
    return `data with ${data.classes} classes do not fit the model, which has ${takes.classes}${advice}`;
  }
  return null;
}
