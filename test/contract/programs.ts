/**
 * Programs as they come in training, on any engine: forward and backward of every
 * recorded case of an operator, against PyTorch's values, and steps of LeNet-5,
 * against the interpreter's. Values agree when none is off by more than 1e-3 of
 * the tensor's largest entry, plus 1e-6: engines add in orders of their own.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { present } from "../../src/base/assert.ts";
import { dense, type Tensor, zeros } from "../../src/base/tensor.ts";
import { stagePrograms } from "../../src/compile/program.ts";
import { segmentModel } from "../../src/compile/segment.ts";
import { specialize } from "../../src/compile/specialize.ts";
import { builtInModel } from "../../src/models/models.ts";
import type { Engine } from "../../src/run/host.ts";
import {
  copies,
  inSlots,
  programOf,
  Reference,
  slotOf,
  spec,
  startValues,
} from "./engine-programs.ts";
import { type OperatorCase, operatorGraph } from "./operator-cases.ts";

/** What is trained of LeNet-5: little, because the interpreter does it as well. */
const batch = 8;
const steps = 3;

/**
 * @param cases recorded cases of operators
 * @param cannot why this engine cannot run some cases, by the case's name
 */
export function testPrograms(
  name: string,
  makeEngine: () => Engine,
  cases: readonly OperatorCase[],
  cannot: Readonly<Record<string, string>> = {},
): void {
  describe(`programs on ${name}`, () => {
    let engine: Engine;
    beforeAll(() => {
      engine = makeEngine();
    });
    afterAll(() => engine.close());

    for (const entry of cases) {
      test(entry.name, async ({ skip }) => {
        const reason = cannot[entry.name];
        if (reason !== undefined) skip(reason);
        const graph = operatorGraph(entry);
        const { builder, feeds, outputs: ends } = graph;
        const inputs = [...feeds.keys()];
        const program = programOf(entry.name, builder, { inputs, outputs: ends });
        await engine.load([program]);
        const { outputs } = await engine.run({
          program: program.id,
          feeds: graph.feeds,
          keep: new Map(),
          fetch: graph.outputs,
        });
        expect(outputs.get("y")?.shape).toEqual(entry.output.shape);
        expectNear(outputs.get("y"), entry.output.values, "y");
        for (const input of entry.wanted) {
          const gradient = graph.gradients.get(input);
          // A rule may say that a gradient vanishes everywhere by giving none.
          const value =
            gradient === undefined ? zeros(graph.builder.type(input)) : outputs.get(gradient);
          expectNear(value, present(entry.gradients[input], input), `the gradient of ${input}`);
        }
      });
    }

    test(`${steps} steps of lenet5`, async () => {
      const model = builtInModel("lenet5", { seed: 1 });
      const graph = specialize(model.graph, { batch });
      const segments = segmentModel(graph);
      const { step } = stagePrograms(graph, segments, 0, segments.length, spec);
      const program = present(step, "the step of a whole model");
      const reference = new Reference();
      for (const [slot, value] of startValues([program], model.weights)) {
        reference.values.set(slot, value);
      }
      await engine.load([program]);
      await engine.write(copies(reference.values));
      const slots = program.outputs.map(slotOf);
      for (let i = 1; i <= steps; i++) {
        reference.run(program);
        await engine.run(inSlots(program));
        for (const [slot, value] of await engine.read(slots)) {
          const wanted = present(reference.values.get(slot), slot);
          expectNear(value, wanted.data, `${slot} after step ${i}`);
        }
      }
    });
  });
}

/** Fails naming the worst element when values are not those expected. */
function expectNear(
  actual: Tensor | undefined,
  expected: ArrayLike<number | bigint>,
  what: string,
): void {
  const values = Array.from(dense(present(actual, what)).data, Number);
  const wanted = Array.from(expected, Number);
  expect(values, what).toHaveLength(wanted.length);
  const largest = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const allowed = 1e-3 * largest + 1e-6;
  const off = values.map((value, i) => Math.abs(value - (wanted[i] as number)));
  // Written so that NaN fails.
  const worst = off.findIndex((difference) => !(difference <= allowed));
  const found = `${what}[${worst}] is ${values[worst]}, expected ${wanted[worst]}`;
  expect(worst, `${found}; allowed difference ${allowed}`).toBe(-1);
}
