/**
 * The trained tensors of the whole model: parameters and optimizer state. Only
 * committed rounds change them, so at any moment they are what a restart or an
 * export would want.
 */
import { present } from "../../base/assert.ts";
import {
  type DenseTensor,
  formatType,
  hollow,
  sameType,
  type Tensor,
  zeros,
} from "../../base/tensor.ts";
import type { SavedRows } from "../../codec/row-memory.ts";
import { type Graph, isTrained } from "../../compile/graph.ts";
import { type OptimizerSpec, optimizerState } from "../../compile/optimizer.ts";
import type { Segment } from "../../compile/segment.ts";
import type { MovedKind } from "../../plan/exchange.ts";
import type { CopyPlan } from "../../plan/plan.ts";
import { putMemory, splitMemory } from "../link-memory.ts";
import type { UpdateCoding } from "../update-coding.ts";
import type { Tensors } from "../wire/frame.ts";
import { partsOf } from "../wire/parts.ts";
import type { RememberedRules } from "./remembered.ts";

/** A model as runs start from it; tensors have no values in the null engine's world. */
export interface StartModel {
  readonly graph: Graph;
  readonly weights: ReadonlyMap<string, Tensor>;
}

/** What is trained of the model, and how it comes home. */
export interface TrainedParts {
  /** What the codecs of links may remember. */
  readonly memoryRules: RememberedRules;
  readonly segments: readonly Segment[];
  readonly optimizer: OptimizerSpec;
  readonly updates: UpdateCoding;
}

/** What a round has changed, under the name that it has in a checkpoint. */
interface Changed {
  readonly what: string;
  readonly tensors: Map<string, DenseTensor>;
}

interface SegmentNames {
  readonly needed: string[];
  readonly moved: Map<string, MovedKind>;
}

export class TrainingState {
  readonly #graph: Graph;
  /** By segment: what a round starts with, and what of it a round changes. */
  readonly #namesOf: ReadonlyMap<number, SegmentNames>;
  readonly #tensors: Map<string, Tensor>;
  /** Optimizer state that is as it began: zeros, which need not travel. */
  readonly #unchanged = new Set<string>();

  readonly #updates: UpdateCoding;
  readonly memoryRules: RememberedRules;
  /** What codecs remember, by name. */
  readonly #memories = new Map<string, SavedRows>();

  /** Starts from the model's weights and empty optimizer state. */
  constructor(model: StartModel, { segments, optimizer, updates, memoryRules }: TrainedParts) {
    this.memoryRules = memoryRules;
    this.#graph = model.graph;
    this.#updates = updates;
    this.#tensors = new Map(model.weights);
    const names = new Map<number, SegmentNames>();
    for (const segment of segments) {
      const own: SegmentNames = { needed: [], moved: new Map() };
      for (const name of segment.updates.keys()) own.moved.set(name, "statistic");
      for (const parameter of segment.parameters) {
        own.needed.push(parameter.name);
        if (isTrained(parameter)) own.moved.set(parameter.name, "weight");
        for (const state of optimizerState(optimizer, parameter)) {
          own.needed.push(state.name);
          own.moved.set(state.name, "state");
          const isHollow = this.#tensors.get(parameter.name)?.data === null;
          this.#tensors.set(state.name, isHollow ? hollow(state) : zeros(state));
          this.#unchanged.add(state.name);
        }
      }
      names.set(segment.index, own);
    }
    this.#namesOf = names;
  }

  /** Takes over what a round merged, with what codecs have come to remember, or what a checkpoint holds. */
  update(merged: ReadonlyMap<string, Tensor>): void {
    const { memory, others } = splitMemory(merged);
    for (const [name, saved] of memory) this.#memories.set(name, saved);
    for (const [name, value] of others) {
      this.#tensors.set(name, value);
      this.#unchanged.delete(name);
    }
  }

  /** What codecs remember, by the name of the end and the place at its border. */
  memory(name: string): SavedRows | undefined {
    return this.#memories.get(name);
  }

  /**
   * The segments that a merge changes, each with all that it needs after it, and memories of codecs by their names; none
   * in the null engine's world, where there are no values to keep.
   */
  changedBy(merged: ReadonlyMap<string, Tensor>): Changed[] {
    const { memory } = splitMemory(merged);
    const changed: Changed[] = [...memory].map(([what, saved]) => {
      const tensors = new Map<string, DenseTensor>();
      putMemory(tensors, what, saved);
      return { what, tensors };
    });
    for (const [segment, { needed, moved }] of this.#namesOf) {
      if (![...moved.keys()].some((name) => merged.has(name))) continue;
      const tensors = new Map<string, DenseTensor>();
      for (const name of needed) {
        const value = present(merged.get(name) ?? this.#tensors.get(name), name);
        if (value.data !== null) tensors.set(name, value as DenseTensor);
      }
      if (tensors.size > 0) changed.push({ what: String(segment), tensors });
    }
    return changed;
  }

  /**
   * Everything that copies of these segments start a round with, but for optimizer state that is zero yet.
   * @param newer what is to be committed before that round is
   * @param kinds these alone of what is trained; everything where absent
   */
  forSegments(
    parts: readonly Pick<CopyPlan, "from" | "to">[],
    newer: ReadonlyMap<string, Tensor> = new Map(),
    kinds: readonly MovedKind[] | null = null,
  ): Map<string, Tensor> {
    const tensors = new Map<string, Tensor>();
    for (const part of parts) {
      for (const name of kinds === null ? this.#neededIn(part) : this.#movedIn(part, kinds)) {
        const value = newer.get(name);
        if (value === undefined && this.#unchanged.has(name)) continue;
        tensors.set(name, present(value ?? this.#tensors.get(name), name));
      }
    }
    return tensors;
  }

  /** Whether what is trained travels home as it is. */
  get isWhole(): boolean {
    return this.#updates.isWhole;
  }

  /** A tensor as the last committed round left it. */
  committed(name: string): Tensor | null {
    return this.#tensors.get(name) ?? null;
  }

  /** All tensors as they are now, whatever rounds change later. */
  snapshot(): Tensors {
    return new Map(this.#tensors);
  }

  /** Names of what rounds change of these segments. @param kinds all where absent */
  movedIn(parts: readonly Pick<CopyPlan, "from" | "to">[], kinds?: readonly MovedKind[]): string[] {
    return parts.flatMap((part) => this.#movedIn(part, kinds));
  }

  /**
   * The tensors that a copy brings.
   * @param came as they travelled
   * @param baseOf what a tensor was when the round began; null where that is not here
   * @param kinds what it is to bring; everything where absent
   * @returns what is wrong with them, in words, where something is
   */
  read(
    copy: CopyPlan,
    came: Tensors,
    baseOf: (name: string) => Tensor | null,
    kinds?: readonly MovedKind[],
  ): Map<string, Tensor> | string {
    const values = new Map<string, Tensor>();
    let parts = 0;
    for (const name of this.#movedIn(copy, kinds)) {
      const type = present(this.#tensors.get(name), name);
      const isCoded = this.#updates.isCoded(name);
      const base = isCoded ? baseOf(name) : null;
      if (isCoded && base === null) return `${name}, whose round before is not here`;
      const own = this.#updates.isWhole ? [came.get(name) ?? []].flat() : partsOf(came, name);
      const [first] = own;
      if (first === undefined) return `no ${name}`;
      const value = this.#updates.decode(came, { name, type, base });
      if (value === null) return `${name} in parts that are no update of it`;
      if (!sameType(value, type)) return `${name} as ${formatType(value)}`;
      values.set(name, value);
      parts += own.length;
    }
    return came.size === parts ? values : "tensors of other segments";
  }

  #namesIn(copy: Pick<CopyPlan, "from" | "to">): SegmentNames[] {
    return Array.from({ length: copy.to - copy.from }, (_, i) => {
      return present(this.#namesOf.get(copy.from + i), `segment ${copy.from + i}`);
    });
  }

  #neededIn(copy: Pick<CopyPlan, "from" | "to">): string[] {
    return this.#namesIn(copy).flatMap(({ needed }) => needed);
  }

  /** @param kinds all where absent */
  #movedIn(copy: Pick<CopyPlan, "from" | "to">, kinds?: readonly MovedKind[]): string[] {
    return this.#namesIn(copy).flatMap(({ moved }) =>
      [...moved].flatMap(([name, kind]) => (kinds?.includes(kind) === false ? [] : [name])),
    );
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
