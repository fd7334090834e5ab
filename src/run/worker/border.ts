/**
 * What crosses the borders of a stage, as it travels: each tensor in the parts that its codec makes of
 * it. What codecs remember, they remember for a round: whatever it was cut short by, the next one
 * begins the same at both ends and in a replay.
 */
import { present } from "../../base/assert.ts";
import { isAllFinite } from "../../base/finite.ts";
import type { Tensor } from "../../base/tensor.ts";
import { openReceiver, openSender, type Receiver, type Sender } from "../../codec/link-codec.ts";
import type { Port } from "../../compile/program.ts";
import type { EngineAnswer } from "../host.ts";
import { roundingSeed } from "../noise.ts";
import type { Tensors } from "../wire/frame.ts";
import type { RejectMessage } from "../wire/messages.ts";
import { partsOf, putParts } from "../wire/parts.ts";
import type { StageSetup } from "./stage-setup.ts";

/** What leaves a stage: a program's outputs, and the batch that they are of, counted from the chain's first. */
export interface Departure {
  readonly answer: EngineAnswer;
  readonly ports: readonly Port[];
  readonly step: number;
}

/** What is wrong with what came over a border, in a word and in a sentence. */
export type Rejection = Pick<RejectMessage, "reason" | "text">;

/** The borders of a stage for one round. */
export class StageBorders {
  readonly #setup: StageSetup;
  /** Ends of the links, by way and place of the tensor at its border. */
  readonly #senders = new Map<string, Sender>();
  readonly #receivers = new Map<string, Receiver>();

  constructor(setup: StageSetup) {
    this.#setup = setup;
  }

  /**
   * Features that go up, or gradients that go down, in the order of their ports: "0.0" is the first
   * part of the first tensor.
   */
  encode(way: "up" | "down", { answer, ports, step }: Departure): Map<string, Tensor> {
    const { chain, stage, job, codecs } = this.#setup;
    const codec = way === "up" ? codecs.featureOut : codecs.gradientOut;
    const border = way === "up" ? stage : stage - 1;
    const crossing = { seed: job.seed, chain: chain.id, border, way, step };
    const out = new Map<string, Tensor>();
    ports.forEach((port, i) => {
      const value = present(answer.outputs.get(port.name), port.name);
      const sender = endOf(this.#senders, `${way} ${i}`, () => openSender(codec, port));
      const parts = sender.encode(value, { seed: roundingSeed(crossing, i), samples: null });
      putParts(out, String(i), parts);
    });
    return out;
  }

  /**
   * The inverse, of features that came up or gradients that came down: a tensor for each port, of
   * finite values.
   * @returns what is wrong, where the parts do not fit the ports or spoil what is computed from them
   */
  decode(way: "up" | "down", tensors: Tensors, ports: readonly Port[]): Tensor[] | Rejection {
    const { codecs, upstream, downstream } = this.#setup;
    const [codec, sender] =
      way === "up" ? [codecs.featureIn, upstream] : [codecs.gradientIn, downstream];
    const values: Tensor[] = [];
    for (const [i, port] of ports.entries()) {
      const receiver = endOf(this.#receivers, `${way} ${i}`, () => openReceiver(codec, port));
      const value = receiver.decode(partsOf(tensors, String(i)));
      if (value === null) {
        const text = `a ${port.role} does not fit the stage it was sent to`;
        return { reason: "misfit", text };
      }
      if (!isAllFinite(value)) {
        return { reason: "not finite", text: `a ${port.role} from ${sender}` };
      }
      values.push(value);
    }
    return values;
  }
}

/** The end of a link, opened where it is used first. */
function endOf<End>(ends: Map<string, End>, key: string, open: () => End): End {
  const end = ends.get(key) ?? open();
  ends.set(key, end);
  return end;
}
