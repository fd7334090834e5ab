/**
 * The trained tensors of the whole model: parameters and optimizer state. Only
 * committed rounds change them, so at any moment they are what a restart or an
 * export would want.
 */
import { present } from "../../base/assert.ts";
import type { NodeId } from "../../base/ids.ts";
import { type DenseTensor, type Tensor, zeros } from "../../base/tensor.ts";
import type { Graph, Model } from "../../compile/graph.ts";
import { type OptimizerSpec, optimizerState } from "../../compile/optimizer.ts";
import type { Segment } from "../../compile/segment.ts";
import type { Plan } from "../../plan/plan.ts";

export class TrainingState {
  readonly #graph: Graph;
  readonly #namesOf: ReadonlyMap<number, readonly string[]>;
  readonly #tensors: Map<string, Tensor>;

  /** Starts from the model's weights and empty optimizer state. */
  constructor(model: Model, segments: readonly Segment[], optimizer: OptimizerSpec) {
    this.#graph = model.graph;
    this.#tensors = new Map(model.weights);
    const names = new Map<number, readonly string[]>();
    for (const segment of segments) {
      const own: string[] = [];
      for (const parameter of segment.parameters) {
        own.push(parameter.name);
        for (const state of optimizerState(optimizer, parameter)) {
          own.push(state.name);
          this.#tensors.set(state.name, zeros(state));
        }
      }
      names.set(segment.index, own);
    }
    this.#namesOf = names;
  }

  /** Takes over what a round merged. */
  update(merged: ReadonlyMap<string, Tensor>): void {
    for (const [name, value] of merged) this.#tensors.set(name, value);
  }

  /** Everything that the copies on a node start a round with. */
  forNode(plan: Plan, node: NodeId): Map<string, Tensor> {
    const tensors = new Map<string, Tensor>();
    for (const copy of plan.copies) {
      if (copy.node !== node) continue;
      for (let segment = copy.from; segment < copy.to; segment++) {
        for (const name of present(this.#namesOf.get(segment), `segment ${segment}`)) {
          tensors.set(name, present(this.#tensors.get(name), name));
        }
      }
    }
    return tensors;
  }

  /** Parameters alone, for evaluation and export. */
  parameters(): Map<string, Tensor> {
    return new Map(
      this.#graph.parameters.map(({ name }) => [name, present(this.#tensors.get(name), name)]),
    );
  }

  /** Parameters with their values; null in the null engine's world, where there are none. */
  weights(): Map<string, DenseTensor> | null {
    const weights = new Map<string, DenseTensor>();
    for (const [name, value] of this.parameters()) {
      if (value.data === null) return null;
      weights.set(name, value as DenseTensor);
    }
    return weights;
  }
}
