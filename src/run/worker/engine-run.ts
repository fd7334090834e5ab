/**
 * A pass of a batch through a stage's program, bound to the engine: trained tensors, saved activations
 * and gradients of parameters stay in slots; what crosses a border is handed in and out.
 */
import { AssertionError } from "../../base/assert.ts";
import { type Tensor, tensor, zeros } from "../../base/tensor.ts";
import type { Port, Program } from "../../compile/program.ts";
import type { EngineRun, Slot } from "../host.ts";
import { drawNoise } from "../noise.ts";
import type { CopyTensors, Place } from "./copy-tensors.ts";

/** What a run of a program is about. */
export interface Pass {
  /** The copy's tensors. */
  readonly tensors: CopyTensors;
  /** The version of the parameters that it takes in, and the one that it gives where it moves them. */
  readonly from: Place;
  readonly to: Place;
  /** Where the batch keeps what it needs on its way back. */
  readonly batchPlace: number;
  /** Names the batch, for its noise. */
  readonly noise: { readonly seed: number; readonly node: string; readonly step: number };
  /** Whether the batch is the first of an update, so that sums of gradients start from zeros. */
  readonly startsSum: boolean;
  readonly learningRate: number;
  /** Batches whose gradients are in the sums, where an update is told. */
  readonly summed?: number;
  /** What is handed in, by the port's name, or the slot where it is. */
  readonly given: ReadonlyMap<string, Tensor | Slot>;
  /** Slots of what is not handed out, although it leaves the stage, by the port's name. */
  readonly kept?: ReadonlyMap<string, Slot>;
}

/** What the engine is asked for a pass. */
export function engineRunOf(program: Program, pass: Pass): EngineRun {
  const feeds = new Map<string, Slot | Tensor>();
  for (const port of program.inputs) feeds.set(port.name, feedOf(program, port, pass));
  const keep = new Map<string, Slot>();
  const fetch: string[] = [];
  for (const port of program.outputs) {
    if (stays.has(port.role)) keep.set(port.name, slotOf(port, pass, pass.to));
  }
  for (const { name, role } of program.outputs) {
    const slot = pass.kept?.get(name);
    if (stays.has(role)) continue;
    if (slot === undefined) fetch.push(name);
    // A value may leave by two ports, and is in one slot then.
    else if (!keep.has(name)) keep.set(name, slot);
  }
  return { program: program.id, feeds, keep, fetch };
}

/** The slot of something that a batch keeps at its stage. */
export const batchSlot = (
  { tensors, batchPlace }: Pick<Pass, "tensors" | "batchPlace">,
  space: "in" | "saved",
  of: string,
): Slot => tensors.spaceSlot(space, batchPlace, of);

/** Roles of outputs that stay in the engine. */
const stays: ReadonlySet<Port["role"]> = new Set([
  "parameter",
  "state",
  "saved",
  "parameterGradient",
]);

function feedOf(program: Program, port: Port, pass: Pass): Slot | Tensor {
  const value = pass.given.get(port.name);
  if (value !== undefined) return value;
  if (port.role === "learningRate") return scalar(pass.learningRate);
  if (port.role === "batchShare") return scalar(1 / (pass.summed ?? 1));
  if (port.role === "noise") return drawNoise(port, { ...pass.noise, of: port.of });
  const isSum = port.role === "parameterGradient" && program.kind !== "update";
  return isSum && pass.startsSum ? zeros(port) : slotOf(port, pass, pass.from);
}

function slotOf(port: Port, pass: Pass, place: Place): Slot {
  switch (port.role) {
    case "parameter":
    case "state":
      return pass.tensors.slot(port.of, place);
    case "saved":
      return batchSlot(pass, "saved", port.of);
    case "feature":
    case "columns":
      return batchSlot(pass, "in", port.of);
    case "parameterGradient":
      return pass.tensors.spaceSlot(port.role, 0, port.of);
    default:
      throw new AssertionError(`a port of role ${port.role} has no slot`);
  }
}

/** A fresh one each time: engines take over the memory of what they are fed. */
const scalar = (value: number): Tensor => tensor("float32", [], Float32Array.of(value));
