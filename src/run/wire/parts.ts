/** Tensors that travel in parts: "0.0" and "0.1" are those of the tensor "0", whatever codec made them. */
import type { Tensor } from "../../base/tensor.ts";
import type { Tensors } from "./frame.ts";

/** Adds the parts of a tensor to what leaves. */
export function putParts(out: Map<string, Tensor>, name: string, parts: readonly Tensor[]): void {
  for (const [i, part] of parts.entries()) out.set(`${name}.${i}`, part);
}

/** The parts of a tensor in what came; none where it did not. */
export function partsOf(came: Tensors, name: string): Tensor[] {
  const parts: Tensor[] = [];
  for (let part = came.get(`${name}.0`); part !== undefined; ) {
    parts.push(part);
    part = came.get(`${name}.${parts.length}`);
  }
  return parts;
}
