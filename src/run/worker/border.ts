/** What crosses a border between stages, as it travels: each tensor in the parts that its codec makes of it. */
import { present } from "../../base/assert.ts";
import { isAllFinite } from "../../base/finite.ts";
import type { NodeId } from "../../base/ids.ts";
import type { Tensor } from "../../base/tensor.ts";
import { type CodecName, codecs, fitsWire } from "../../codec/codec.ts";
import type { Port } from "../../compile/program.ts";
import type { EngineAnswer } from "../host.ts";
import { roundingSeed } from "../noise.ts";
import type { Tensors } from "../wire/frame.ts";
import type { RejectMessage } from "../wire/messages.ts";
import type { StageSetup } from "./stage-setup.ts";

/** What leaves a stage: a program's outputs, and the batch that they are of, counted from the chain's first. */
export interface Departure {
  readonly answer: EngineAnswer;
  readonly ports: readonly Port[];
  readonly step: number;
}

/**
 * Features that go up from a stage, or gradients that go down, in the order of their ports: "0.0" is
 * the first part of the first tensor.
 */
export function encodeBorder(
  { chain, stage, job, codecs: used }: StageSetup,
  way: "up" | "down",
  { answer, ports, step }: Departure,
): Map<string, Tensor> {
  const codec = codecs[way === "up" ? used.featureOut : used.gradientOut];
  const border = way === "up" ? stage : stage - 1;
  const crossing = { seed: job.seed, chain: chain.id, border, way, step };
  const out = new Map<string, Tensor>();
  ports.forEach(({ name }, i) => {
    const value = present(answer.outputs.get(name), name);
    const parts = codec.encode(value, roundingSeed(crossing, i));
    parts.forEach((part, k) => {
      out.set(`${i}.${k}`, part);
    });
  });
  return out;
}

/** What is wrong with what came over a border, in a word and in a sentence. */
export type Rejection = Pick<RejectMessage, "reason" | "text">;

/**
 * The inverse: a tensor for each port, of finite values.
 * @param sender the node that it came from
 * @returns what is wrong, where the parts do not fit the ports or spoil what is computed from them
 */
export function decodeBorder(
  codec: CodecName,
  tensors: Tensors,
  ports: readonly Port[],
  sender: NodeId | null,
): Tensor[] | Rejection {
  const values: Tensor[] = [];
  for (const [i, port] of ports.entries()) {
    const parts: Tensor[] = [];
    for (let part = tensors.get(`${i}.0`); part !== undefined; ) {
      parts.push(part);
      part = tensors.get(`${i}.${parts.length}`);
    }
    if (!fitsWire(codec, parts, port)) {
      const text = `a ${port.role} does not fit the stage it was sent to`;
      return { reason: "misfit", text };
    }
    const value = codecs[codec].decode(parts, port);
    if (!isAllFinite(value)) return { reason: "not finite", text: `a ${port.role} from ${sender}` };
    values.push(value);
  }
  return values;
}
