/** Weights by a path: of a run, of a model file, or alone. */
import { readFileSync } from "node:fs";
import { InputError, messageOf } from "../base/errors.ts";
import { readSafetensors } from "../base/safetensors.ts";
import { formatType, sameType } from "../base/tensor.ts";
import type { Model, Weights } from "../compile/graph.ts";
import { openRun } from "./run-folder.ts";

/**
 * A model with other weights.
 * @param path a run's folder, an .onnx file, or a .safetensors file
 * @throws InputError where nothing of the kind is there, or the weights are not this model's
 */
export function withWeights(model: Model, path: string): Model {
  const weights = path.endsWith(".safetensors") ? readWeights(path) : openRun(path).weights;
  for (const parameter of model.graph.parameters) {
    const value = weights.get(parameter.name);
    if (value !== undefined && sameType(value, parameter)) continue;
    throw new InputError({
      what: "weights",
      received: `${value === undefined ? "none" : formatType(value)} for ${parameter.name}`,
      allowed: `${formatType(parameter)}, as the job's model has it`,
      where: path,
    });
  }
  return { graph: model.graph, weights };
}

function readWeights(path: string): Weights {
  try {
    return readSafetensors(new Uint8Array(readFileSync(path))).tensors;
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(
      {
        what: "weights",
        received: `${path} (${messageOf(error)})`,
        allowed: "a run folder such as runs/<id>, an .onnx or a .safetensors file",
      },
      { cause: error },
    );
  }
}
