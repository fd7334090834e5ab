/** A party's own columns, put where a program takes the model's whole input. */
import { assert } from "../base/assert.ts";
import type { Party } from "../base/party.ts";
import { elementCount, hollow, type Tensor, type TensorType, tensor } from "../base/tensor.ts";

/**
 * What a stage is fed as the model's input: the samples as they are where their node has all columns; else
 * the columns that it has, in their places, and zeros elsewhere, which its segments do not look at.
 * @param own float32 [batch, columns, ...]
 * @param type the model's input, float32 [batch, all columns, ...]
 */
export function spreadColumns(own: Tensor, party: Party | null, type: TensorType): Tensor {
  if (party === null) return own;
  if (own.data === null) return hollow(type);
  const [batch = 0, width = 0, ...rest] = type.shape;
  const step = elementCount(rest);
  const values = own.data as Float32Array;
  const count = party.columns.length;
  assert(values.length === batch * count * step, `${values.length} values of ${count} columns`);
  const whole = new Float32Array(elementCount(type.shape));
  for (let sample = 0; sample < batch; sample++) {
    for (const [k, column] of party.columns.entries()) {
      const at = (sample * count + k) * step;
      whole.set(values.subarray(at, at + step), (sample * width + column) * step);
    }
  }
  return tensor(type.dtype, type.shape, whole);
}
