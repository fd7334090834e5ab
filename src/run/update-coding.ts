/**
 * What of a copy's tensors travels home as differences, under a job, and how they are named on the wire.
 *
 * Coded are trained parameters, and optimizer state that may be of either sign. Running statistics and
 * averages of squares travel as they are: roots are taken of them, and what rounding leaves
 * of a small one beside large ones may lie below zero. So Adam's contributions shrink less than those of SGD.
 */
import { present } from "../base/assert.ts";
import { hash32 } from "../base/random.ts";
import { byteLength, sameType, type Tensor, type TensorType } from "../base/tensor.ts";
import { wireBytes } from "../codec/codec.ts";
import { applyUpdate, encodeUpdate, isUpdateCoded, type UpdateCodecName } from "../codec/update.ts";
import { isTrained } from "../compile/graph.ts";
import { type OptimizerSpec, optimizerState } from "../compile/optimizer.ts";
import type { Segment } from "../compile/segment.ts";
import type { Tensors } from "./wire/frame.ts";
import { partsOf, putParts } from "./wire/parts.ts";

/** What a job says of updates. */
export interface UpdateRules {
  readonly updates: UpdateCodecName;
  readonly optimizer: OptimizerSpec;
  readonly seed: number;
}

/** Whose update it is: names what a codec draws. */
export interface UpdateOrigin {
  readonly copy: string;
  readonly round: number;
}

/** A copy's tensors by name, before a round and after it. */
export interface Trained {
  readonly values: Tensors;
  /** What a coded tensor was when the round began. */
  baseOf(name: string): Tensor;
}

export class UpdateCoding {
  readonly codec: UpdateCodecName;
  readonly #seed: number;
  readonly #coded = new Set<string>();
  readonly #segmentBytes: number[] = [];

  constructor(segments: readonly Segment[], { updates, optimizer, seed }: UpdateRules) {
    this.codec = updates;
    this.#seed = seed;
    for (const { parameters } of segments) {
      let bytes = 0;
      const count = (name: string, type: TensorType, isSigned: boolean): void => {
        const isCoded = isSigned && isUpdateCoded(updates, type);
        if (isCoded) this.#coded.add(name);
        bytes += isCoded ? wireBytes(updates, type) : byteLength(type);
      };
      for (const parameter of parameters) {
        count(parameter.name, parameter, isTrained(parameter));
        for (const state of optimizerState(optimizer, parameter)) {
          count(state.name, state, !state.isOfSquares);
        }
      }
      this.#segmentBytes.push(bytes);
    }
  }

  /** Whether everything travels as it is, under its own name. */
  get isWhole(): boolean {
    return this.codec === "float32";
  }

  /** Bytes that come home of each segment; what is frozen counts, though it stays. */
  get segmentBytes(): readonly number[] {
    return this.#segmentBytes;
  }

  /** Whether a tensor travels as a difference, so that both ends need what it began as. */
  isCoded(name: string): boolean {
    return this.#coded.has(name);
  }

  /** What leaves: tensors as they are, or parts "conv1.weight.0", "conv1.weight.1", … of each. */
  encode({ values, baseOf }: Trained, { copy, round }: UpdateOrigin): Map<string, Tensor> {
    if (this.isWhole) return new Map(values);
    const out = new Map<string, Tensor>();
    for (const [name, value] of values) {
      const seed = this.#seed ^ hash32(`update ${copy} ${round} ${name}`);
      const parts = this.isCoded(name)
        ? encodeUpdate(this.codec, { value, base: baseOf(name) }, seed)
        : [value];
      putParts(out, name, parts);
    }
    return out;
  }

  /**
   * One tensor of what came.
   * @param type of the tensor
   * @param base what it began as; null where that is not there
   * @returns null where it did not come, does not fit, or its base is not there
   */
  decode(
    came: Tensors,
    { name, type, base }: { name: string; type: TensorType; base: Tensor | null },
  ): Tensor | null {
    if (this.isWhole) return came.get(name) ?? null;
    if (this.isCoded(name)) {
      return base === null ? null : applyUpdate(this.codec, base, partsOf(came, name));
    }
    const value = came.get(`${name}.0`);
    return value !== undefined && sameType(value, type) ? value : null;
  }

  /** What both ends have of a copy's tensors once they have travelled: what a round really gives. */
  asBrought(trained: Trained, origin: UpdateOrigin): Map<string, Tensor> {
    if (this.isWhole) return new Map(trained.values);
    const came = this.encode(trained, origin);
    return new Map(
      [...trained.values].map(([name, type]) => {
        const base = this.isCoded(name) ? trained.baseOf(name) : null;
        return [name, present(this.decode(came, { name, type, base }), name)];
      }),
    );
  }
}
