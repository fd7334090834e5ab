/** What crosses a border between stages, as it travels: each tensor in the parts that its codec makes of it. */
import { present } from "../../base/assert.ts";
import type { Tensor } from "../../base/tensor.ts";
import { type CodecName, codecs, fitsWire } from "../../codec/codec.ts";
import type { Port } from "../../compile/program.ts";
import type { EngineAnswer } from "../host.ts";
import type { Tensors } from "../wire/frame.ts";

/** A program's outputs at a border, in the order of its ports: "0.0" is the first part of the first tensor. */
export function encodeBorder(
  codec: CodecName,
  answer: EngineAnswer,
  ports: readonly Port[],
): Map<string, Tensor> {
  const out = new Map<string, Tensor>();
  ports.forEach(({ name }, i) => {
    const parts = codecs[codec].encode(present(answer.outputs.get(name), name));
    parts.forEach((part, k) => {
      out.set(`${i}.${k}`, part);
    });
  });
  return out;
}

/** The inverse: a tensor for each port. @returns what is wrong, in words, where the parts do not fit the ports */
export function decodeBorder(
  codec: CodecName,
  tensors: Tensors,
  ports: readonly Port[],
): Tensor[] | string {
  const values: Tensor[] = [];
  for (const [i, port] of ports.entries()) {
    const parts: Tensor[] = [];
    for (let part = tensors.get(`${i}.0`); part !== undefined; ) {
      parts.push(part);
      part = tensors.get(`${i}.${parts.length}`);
    }
    if (!fitsWire(codec, parts, port))
      return `a ${port.role} does not fit the stage it was sent to`;
    values.push(codecs[codec].decode(parts, port));
  }
  return values;
}
