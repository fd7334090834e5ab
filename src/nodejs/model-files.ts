/** Models by name or by file. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { InputError, messageOf } from "../base/errors.ts";
import type { Model } from "../compile/graph.ts";
import { readOnnx } from "../compile/onnx/read.ts";
import { builtInModel, builtInModelNames } from "../models/models.ts";

/**
 * A built-in model by its name, or an ONNX file by its path, relative to `folder`.
 * @throws InputError for an unknown name or an unreadable file, ModelError for a bad model
 */
export function loadModel(name: string, seed: number, folder: string): Model {
  if (builtInModelNames.includes(name)) return builtInModel(name, { seed });
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
