/** Models by name or by file. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { InputError, ModelError, messageOf } from "../base/errors.ts";
import type { Model } from "../compile/graph.ts";
import { readOnnx } from "../compile/onnx/read.ts";
import {
  type BuiltInModelName,
  builtInModelNames,
  checkModelOptions,
  isBuiltIn,
} from "../models/catalog.ts";
import { builtInModel } from "../models/models.ts";
import type { ModelChoices, ModelOptions } from "../models/options.ts";

/** Which model: a job, or as much of one as says so. */
export interface NamedModel {
  /** A built-in model's name, or the path of an .onnx file. */
  readonly model: string;
  /** Options of a built-in model. */
  readonly modelOptions?: ModelChoices;
  /** Seed of a built-in model's weights. */
  readonly seed: number;
}

/**
 * A built-in model, or an ONNX file by its path, relative to `folder`.
 * @throws InputError for an unknown name, options that the model does not take or an unreadable
 *   file, ModelError for a bad model
 */
export function loadModel(
  { model: name, modelOptions = {}, seed }: NamedModel,
  folder: string,
): Model {
  checkModelOptions(name, modelOptions);
  if (isBuiltIn(name)) return madeModel(name, { ...modelOptions, seed });
  if (!name.endsWith(".onnx")) {
    throw new InputError({
      what: "model",
      received: JSON.stringify(name),
      allowed: `${builtInModelNames.join(", ")}, or the path of an .onnx file`,
    });
  }
  const path = resolve(folder, name);
  let bytes: Uint8Array;
  try {
    bytes = new Uint8Array(readFileSync(path));
  } catch (error) {
    throw new InputError(
      {
        what: "model",
        received: `${path} (${messageOf(error)})`,
        allowed: "a readable .onnx file",
      },
      { cause: error },
    );
  }
  return readOnnx(bytes);
}

/** A built-in model; layers that fit no such size or length are the fault of the options. */
function madeModel(name: BuiltInModelName, options: ModelOptions): Model {
  try {
    return builtInModel(name, options);
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    const { seed: _, ...chosen } = options;
    throw new InputError(
      {
        what: "modelOptions",
        received: `${JSON.stringify(chosen)} for ${name} (${error.message})`,
        allowed: "sizes and lengths that the layers fit into",
      },
      { cause: error },
    );
  }
}
