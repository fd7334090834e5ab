/**
 * What crosses the borders of a stage, as it travels: each tensor in the parts that its codec makes of
 * it. What codecs remember outlives the round (`link-memories.ts`), but at copies that chains share: there it is
 * for a round, whatever that was cut short by.
 */
import { present } from "../../base/assert.ts";
import { isAllFinite } from "../../base/finite.ts";
import type { Tensor, TensorType } from "../../base/tensor.ts";
import { openReceiver, openSender, type Receiver, type Sender } from "../../codec/link-codec.ts";
import type { RowMemory } from "../../codec/row-memory.ts";
import type { Port } from "../../compile/program.ts";
import type { EngineAnswer } from "../host.ts";
import { roomFor } from "../link-memory.ts";
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
  /** The samples of the batch, where whoever sends has drawn it. */
  readonly samples?: readonly number[] | null;
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
  encode(way: "up" | "down", departure: Departure): Map<string, Tensor> {
    const { answer, ports, step, samples = null } = departure;
    const { chain, stage, job, codecs } = this.#setup;
    const codec = way === "up" ? codecs.featureOut : codecs.gradientOut;
    const border = way === "up" ? stage : stage - 1;
    const crossing = { seed: job.seed, chain: chain.id, border, way, step };
    const out = new Map<string, Tensor>();
    ports.forEach((port, i) => {
      const value = present(answer.outputs.get(port.name), port.name);
      const { memory, isOfSamples } = this.#memoryOf({ way, side: "sender", place: i }, port);
      const sender = endOf(this.#senders, `${way} ${i}`, () => openSender(codec, port, { memory }));
      const owners = isOfSamples ? samples : null;
      const parts = sender.encode(value, { seed: roundingSeed(crossing, i), samples: owners });
      putParts(out, String(i), parts);
    });
    return out;
  }

  /** What an end remembers from round to round; null where nothing, or for the round alone. */
  #memoryOf(
    { way, side, place }: { way: "up" | "down"; side: "sender" | "receiver"; place: number },
    type: TensorType,
  ): { memory: RowMemory | null; isOfSamples: boolean } {
    const { ends, memories, job } = this.#setup;
    const own = ends.find(({ end }) => end.way === way && end.side === side)?.end;
    if (own === undefined) return { memory: null, isOfSamples: false };
    return { memory: memories.of(own, place), ...roomFor(own, type, job) };
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
      const receiver = endOf(this.#receivers, `${way} ${i}`, () => {
        return openReceiver(codec, port, this.#memoryOf({ way, side: "receiver", place: i }, port));
      });
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
