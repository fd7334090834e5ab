/** Training by stage programs on the interpreter, as a chain of workers would do it. */
import { expect } from "vitest";
import { present } from "../../src/base/assert.ts";
import { type DenseTensor, zeros } from "../../src/base/tensor.ts";
import { interpret } from "../../src/compile/interpret.ts";
import {
  type Port,
  type Program,
  portsOf,
  type StagePrograms,
  stagePrograms,
  type TrainingSpec,
} from "../../src/compile/program.ts";
import type { TrainingModel } from "../../src/compile/training-model.ts";

/** Values by role and outside name, as workers keep them. */
export type Slots = Map<string, DenseTensor>;

/** Where a port's value is kept: what is saved for the way back may be a feature as well. */
const slotOf = ({ role, of }: Port): string =>
  role === "labels" || role === "learningRate" || role === "loss"
    ? role
    : `${role === "saved" ? "feature" : role} ${of}`;

/** Feeds a program from the slots and puts what it gives back into them. */
export function runProgram(program: Program, slots: Slots): void {
  const feeds = new Map(
    program.inputs.map((input) => [input.name, present(slots.get(slotOf(input)), slotOf(input))]),
  );
  const results = interpret(program.graph, feeds);
  expect(new Set(program.graph.outputs).size).toBe(program.graph.outputs.length);
  for (const output of program.outputs) {
    const value = present(results.get(output.name), output.name);
    expect(value).toMatchObject({ dtype: output.dtype, shape: output.shape });
    slots.set(slotOf(output), value);
  }
}

/**
 * One step of the optimizer on a model that is cut before the given segments: every batch goes
 * forward and back, then the parameters move.
 * @param batches each the slots of its feature, labels and noise
 * @returns the slots after it, with the loss of the last batch
 */
export function trainingStep(
  { graph, segments }: TrainingModel,
  cuts: readonly number[],
  spec: TrainingSpec,
  start: Slots,
  batches: readonly Slots[],
): Slots {
  const slots = new Map(start);
  const borders = [0, ...cuts, segments.length];
  const stages = borders
    .slice(1)
    .map((to, i) => stagePrograms(graph, segments, borders[i] as number, to, spec));
  for (const [i, stage] of stages.slice(1).entries()) {
    expectAgreed(present(stages[i], "a stage"), stage);
  }
  for (const parameter of graph.parameters) {
    slots.set(`parameterGradient ${parameter.name}`, zeros(parameter));
  }
  for (const batch of batches) {
    for (const [name, value] of batch) slots.set(name, value);
    for (const { forward } of stages) if (forward !== null) runProgram(forward, slots);
    for (const { step, backward } of stages.toReversed()) {
      const back = step ?? backward;
      if (back !== null) runProgram(back, slots);
    }
  }
  for (const { update } of stages) if (update !== null) runProgram(update, slots);
  return slots;
}

/** What crosses a border has no names there, only an order: both sides must have the same, each way. */
function expectAgreed(before: StagePrograms, after: StagePrograms): void {
  const names = (ports: readonly Port[] = [], role: Port["role"]): string[] =>
    portsOf(ports, role).map(({ of }) => of);
  const features = names((after.step ?? after.forward)?.inputs, "feature");
  expect(features).toEqual(names(before.forward?.outputs, "feature"));
  const gradients = names((after.step ?? after.backward)?.outputs, "gradient");
  expect(gradients).toEqual(names(before.backward?.inputs, "gradient"));
}

/** What outlives a step: parameters, buffers and optimizer state, and the loss. */
export const kept = (slots: Slots): [string, DenseTensor][] =>
  [...slots].filter(([name]) => /^(parameter |state |loss$)/.test(name)).sort();
