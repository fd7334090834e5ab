/**
 * What every engine promises, as a suite: native, interpreter, null, and those
 * to come. Values are compared with the interpreter, which defines them.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { EdgeloomError } from "../../src/base/errors.ts";
import {
  cloneTensor,
  type DenseTensor,
  dense,
  float32,
  formatType,
  hollow,
  int64,
  sameType,
  type Tensor,
  tensor,
} from "../../src/base/tensor.ts";
import { interpret } from "../../src/compile/interpret.ts";
import { castCode } from "../../src/compile/ops/elementwise.ts";
import { type Port, type Program, stagePrograms } from "../../src/compile/program.ts";
import type { Engine, EngineRun, Slot } from "../../src/run/host.ts";
import {
  addTo,
  arithmetic,
  copies,
  difference,
  graph,
  inSlots,
  program,
  Reference,
  segments,
  slotOf,
  spec,
  startValues,
  sum,
  three,
} from "./engine-programs.ts";

/** How an engine differs from one that computes real numbers beside the caller's thread. */
export interface EngineTraits {
  /** Why its tensors have types and no values; only types are compared then. */
  readonly hollow?: string;
  /** Why it computes on the caller's thread; nothing is asked of that thread then. */
  readonly blocking?: string;
  /** Products of 512x512 matrices that keep it busy for long enough to look; 120 where absent. */
  readonly longProducts?: number;
  /** What a timer of 1 ms may take on the caller's thread meanwhile; 5 where absent. */
  readonly timerMs?: number;
}

/**
 * @param name shown in the report
 * @param makeEngine gives a fresh engine; the suite closes all it makes
 */
export function testEngine(
  name: string,
  makeEngine: () => Engine,
  { hollow: hollowBecause, blocking, longProducts = 120, timerMs = 5 }: EngineTraits = {},
): void {
  const isHollow = hollowBecause !== undefined;

  /** Equal type, and values within 1e-5 of the largest entry. */
  const expectTensor = (actual: Tensor | undefined, expected: Tensor, what = "tensor"): void => {
    expect(actual, what).toBeDefined();
    const value = actual as Tensor;
    expect(formatType(value), what).toBe(formatType(expected));
    if (isHollow) return;
    const wanted = Array.from(dense(expected).data, Number);
    const allowed = 1e-5 * wanted.reduce((most, entry) => Math.max(most, Math.abs(entry)), 0);
    const got = dense(value).data;
    expect(got, what).toHaveLength(wanted.length);
    const off = wanted.reduce(
      (most, entry, i) => Math.max(most, Math.abs(entry - Number(got[i]))),
      0,
    );
    expect(off, `largest difference of ${what}`).toBeLessThanOrEqual(allowed);
  };

  const title = [
    `engine ${name}`,
    isHollow ? `(types only: ${hollowBecause})` : "",
    blocking === undefined ? "" : `(on the caller's thread: ${blocking})`,
  ];

  describe(title.filter((part) => part !== "").join(" "), () => {
    let engine: Engine;
    beforeAll(() => {
      engine = makeEngine();
    });
    afterEach(() => engine.drop(""));
    afterAll(() => engine.close());

    /** What the engine says of a slot. */
    const readOne = async (slot: Slot): Promise<Tensor> => {
      const values = await engine.read([slot]);
      return values.get(slot) as Tensor;
    };

    describe("runs", () => {
      test("hand back the outputs asked for, and no others", async () => {
        await engine.load([arithmetic]);
        const { outputs, computeMs } = await engine.run({
          program: arithmetic.id,
          feeds: new Map([
            ["a", float32([3], [1, 2, 3])],
            ["b", float32([3], [10, 20, 30])],
          ]),
          keep: new Map(),
          fetch: [difference],
        });
        expect([...outputs.keys()]).toEqual([difference]);
        expectTensor(outputs.get(difference), float32([3], [-9, -18, -27]));
        expect(computeMs).toBeGreaterThanOrEqual(0);
      });

      test("keep outputs in slots, from which later runs are fed", async () => {
        await engine.load([arithmetic]);
        await engine.write(
          new Map([
            ["x", float32([3], [1, 2, 3])],
            ["y", float32([3], [1, 1, 1])],
          ]),
        );
        const run = (a: Slot, b: Slot, keep: [string, Slot][]): Promise<unknown> =>
          engine.run({
            program: arithmetic.id,
            feeds: new Map([
              ["a", a],
              ["b", b],
            ]),
            keep: new Map(keep),
            fetch: [],
          });
        await run("x", "y", [
          [sum, "s"],
          [difference, "d"],
        ]);
        await run("s", "d", [[sum, "twice x"]]);
        expectTensor(await readOne("twice x"), float32([3], [2, 4, 6]));
        expectTensor(await readOne("d"), float32([3], [0, 1, 2]));
      });

      test("may exchange slots: both outputs see the values from before", async () => {
        await engine.load([arithmetic]);
        await engine.write(
          new Map([
            ["x", float32([3], [5, 6, 7])],
            ["y", float32([3], [1, 2, 3])],
          ]),
        );
        await engine.run({
          program: arithmetic.id,
          feeds: new Map([
            ["a", "x"],
            ["b", "y"],
          ]),
          keep: new Map([
            [sum, "y"],
            [difference, "x"],
          ]),
          fetch: [],
        });
        expectTensor(await readOne("y"), float32([3], [6, 8, 10]));
        expectTensor(await readOne("x"), float32([3], [4, 4, 4]));
      });

      test("can keep and hand back the same output, as two tensors", async () => {
        await engine.load([arithmetic]);
        await engine.write(new Map([["total", float32([3], [1, 2, 3])]]));
        const one = float32([3], [1, 1, 1]);
        const { outputs } = await engine.run({ ...addTo("total", one), fetch: [sum] });
        const fetched = outputs.get(sum) as Tensor;
        expectTensor(fetched, float32([3], [2, 3, 4]));
        if (fetched.data !== null) fetched.data.fill(99 as never);
        expectTensor(await readOne("total"), float32([3], [2, 3, 4]));
      });

      test("take and give int64, bool and int32 beside float32", async () => {
        const numbers = { dtype: "int64", shape: [2, 3] } as const;
        const kinds = program("kinds", { numbers }, (builder) => [
          builder.emit("Cast", ["numbers"], { to: castCode("float32") }, "real"),
          builder.emit("ArgMax", ["real"], { axis: 1, keepdims: 0 }, "largest"),
          builder.emit("Equal", ["numbers", "numbers"], {}, "same"),
          builder.emit("Cast", ["numbers"], { to: castCode("int32") }, "small"),
        ]);
        const value = int64([2, 3], [1, -2, 3, 2 ** 40, 5, 6]);
        const expected = interpret(kinds.graph, new Map([["numbers", cloneTensor(value)]]));
        await engine.load([kinds]);
        const { outputs } = await engine.run({
          program: kinds.id,
          feeds: new Map([["numbers", value]]),
          keep: new Map(),
          fetch: kinds.graph.outputs,
        });
        expect([...expected.values()].map(({ dtype }) => dtype)).toEqual([
          "float32",
          "int64",
          "bool",
          "int32",
        ]);
        for (const [output, wanted] of expected) expectTensor(outputs.get(output), wanted, output);
      });
    });

    describe("training", () => {
      test("a step with everything in slots gives the interpreter's values, again and again", async () => {
        // A stage from the middle on also sends a gradient, which needs the weights of before.
        const { step } = stagePrograms(graph, segments, 2, segments.length, spec);
        const stage = step as Program;
        const reference = new Reference();
        for (const [slot, value] of startValues([stage])) reference.values.set(slot, value);
        await engine.load([stage]);
        await engine.write(copies(reference.values));
        for (let i = 0; i < 4; i++) {
          reference.run(stage);
          await engine.run(inSlots(stage));
          for (const port of stage.outputs) {
            const slot = slotOf(port);
            const wanted = reference.values.get(slot) as DenseTensor;
            expectTensor(await readOne(slot), wanted, `${port.role} ${port.of} after step ${i}`);
          }
        }
      });

      test("forward, backward and update of a first stage give the interpreter's values", async () => {
        const programs = stagePrograms(graph, segments, 0, 4, spec);
        const stages = [programs.forward, programs.backward, programs.update] as Program[];
        const reference = new Reference();
        for (const [slot, value] of startValues(stages)) reference.values.set(slot, value);
        await engine.load(stages);
        await engine.write(copies(reference.values));
        for (let i = 0; i < 3; i++) {
          for (const stage of stages) {
            reference.run(stage);
            // Where an output is both the feature and saved, it is one value in one slot.
            const run = inSlots(stage);
            await engine.run(run);
            for (const [output, slot] of run.keep) {
              const port = stage.outputs.findLast((candidate) => candidate.name === output) as Port;
              const wanted = reference.values.get(slotOf(port)) as DenseTensor;
              expectTensor(await readOne(slot), wanted, `${stage.kind} ${i}: ${output}`);
            }
          }
        }
      });
    });

    describe("order and memory", () => {
      test("calls take effect in the order in which they are made, without waiting", async () => {
        const one = (): Tensor => float32([3], [1, 1, 1]);
        const calls: Promise<unknown>[] = [
          engine.load([arithmetic]),
          engine.write(new Map([["total", float32([3], [0, 0, 0])]])),
        ];
        const snapshots: Promise<Tensor>[] = [];
        for (let i = 0; i < 20; i++) {
          calls.push(engine.run(addTo("total", one())));
          snapshots.push(readOne("total"));
        }
        calls.push(engine.write(new Map([["total", float32([3], [-5, -5, -5])]])));
        calls.push(engine.run(addTo("total", one())));
        const last = readOne("total");
        await Promise.all(calls);
        for (const [i, snapshot] of (await Promise.all(snapshots)).entries()) {
          expectTensor(snapshot, float32([3], [i + 1, i + 1, i + 1]), `read ${i}`);
        }
        expectTensor(await last, float32([3], [-4, -4, -4]), "the last read");
      });

      test("a read is the caller's own: steps do not change it, nor does it change the slot", async () => {
        await engine.load([arithmetic]);
        await engine.write(new Map([["total", float32([3], [1, 2, 3])]]));
        const before = await readOne("total");
        await engine.run(addTo("total", float32([3], [1, 1, 1])));
        expectTensor(before, float32([3], [1, 2, 3]));
        if (before.data !== null) before.data.fill(99 as never);
        expectTensor(await readOne("total"), float32([3], [2, 3, 4]));
      });

      test("tensors that share a buffer, as a frame's do, are handed over one by one", async () => {
        const frame = Float32Array.of(1, 2, 3, 4, 5, 6).buffer;
        const first = tensor("float32", [3], new Float32Array(frame, 0, 3));
        const second = tensor("float32", [3], new Float32Array(frame, 12, 3));
        await engine.load([arithmetic]);
        await engine.write(new Map([["first", first]]));
        await engine.run(addTo("first", second));
        expectTensor(await readOne("first"), float32([3], [5, 7, 9]));
      });

      test("one tensor may go to several slots and inputs at once", async () => {
        const shared = float32([3], [1, 2, 3]);
        await engine.load([arithmetic]);
        await engine.write(
          new Map([
            ["x", shared],
            ["y", shared],
          ]),
        );
        await engine.run(addTo("x", float32([3], [1, 1, 1])));
        expectTensor(await readOne("x"), float32([3], [2, 3, 4]));
        expectTensor(await readOne("y"), float32([3], [1, 2, 3]));
      });

      test("drop frees the slots of a prefix and leaves the others", async () => {
        const value = (): Tensor => float32([1], [1]);
        await engine.write(
          new Map([
            ["a|x", value()],
            ["a|y", value()],
            ["b|a|x", value()],
          ]),
        );
        await engine.drop("a|");
        await expect(engine.read(["a|x"])).rejects.toThrow(/"a\|x"/);
        await expect(engine.read(["a|y"])).rejects.toThrow(EdgeloomError);
        expectTensor(await readOne("b|a|x"), float32([1], [1]));
      });
    });

    describe("refuses with an EdgeloomError", () => {
      const a = (): Tensor => float32([3], [1, 2, 3]);
      const run = (change: Partial<EngineRun>): Promise<unknown> =>
        engine.run({
          program: arithmetic.id,
          feeds: new Map([
            ["a", a()],
            ["b", a()],
          ]),
          keep: new Map([[sum, "total"]]),
          fetch: [],
          ...change,
        });
      const refusals: readonly [string, RegExp, () => Promise<unknown>][] = [
        ["a program that is not loaded", /no such id/, () => run({ program: "no such id" })],
        ["an input that is not fed", /"b"/, () => run({ feeds: new Map([["a", a()]]) })],
        [
          "a slot that holds nothing",
          /"nowhere"/,
          () => run({ feeds: new Map<string, Slot | Tensor>().set("a", "nowhere").set("b", a()) }),
        ],
        [
          "an input of another shape",
          /float32\[4\]/,
          () =>
            run({
              feeds: new Map([["a", float32([4], [1, 2, 3, 4])]]).set(
                "b",
                float32([4], [1, 2, 3, 4]),
              ),
            }),
        ],
        [
          "an input of another element type",
          /int64\[3\]/,
          () =>
            run({ feeds: new Map([["a", int64([3], [1, 2, 3])]]).set("b", int64([3], [1, 2, 3])) }),
        ],
        ["an output that is not there (fetch)", /"product"/, () => run({ fetch: ["product"] })],
        [
          "an output that is not there (keep)",
          /"product"/,
          () => run({ keep: new Map([[sum, "total"]]).set("product", "elsewhere") }),
        ],
        ["reading a slot that holds nothing", /"nowhere"/, () => engine.read(["total", "nowhere"])],
      ];
      test.each(refusals)("%s, and leaves every slot as it was", async (_what, message, call) => {
        await engine.load([arithmetic]);
        await engine.write(new Map([["total", float32([3], [7, 8, 9])]]));
        const failure = await call().then(
          () => null,
          (error: unknown) => error,
        );
        expect(failure).toBeInstanceOf(EdgeloomError);
        expect((failure as Error).message).toMatch(message);
        expectTensor(await readOne("total"), float32([3], [7, 8, 9]));
        await expect(engine.read(["elsewhere"])).rejects.toThrow(EdgeloomError);
      });

      test("every call after it was closed", async () => {
        const closed = makeEngine();
        await closed.load([arithmetic]);
        await closed.close();
        await closed.close();
        const calls = [
          closed.load([arithmetic]),
          closed.write(new Map([["x", a()]])),
          closed.read(["x"]),
          closed.run(addTo("x", a())),
          closed.drop("x"),
        ];
        for (const outcome of await Promise.allSettled(calls)) {
          expect(outcome.status).toBe("rejected");
          expect((outcome as PromiseRejectedResult).reason).toBeInstanceOf(EdgeloomError);
        }
      });
    });

    test("close lets calls made before it finish", async () => {
      const closing = makeEngine();
      const calls = [
        closing.load([arithmetic]),
        closing.write(new Map([["total", float32([3], [1, 2, 3])]])),
        closing.run(addTo("total", float32([3], [1, 1, 1]))),
      ];
      const last = closing.read(["total"]);
      await closing.close();
      await Promise.all(calls);
      expectTensor((await last).get("total"), float32([3], [2, 3, 4]));
    });

    if (isHollow) {
      test("gives outputs that have no values", async () => {
        await engine.load([arithmetic]);
        await engine.write(new Map([["total", hollow(three)]]));
        const run = addTo("total", hollow(three));
        const { outputs } = await engine.run({ ...run, fetch: [difference] });
        expect(outputs.get(difference)).toEqual(hollow(three));
        expect(await readOne("total")).toEqual(hollow(three));
      });
    }

    test("programs may be loaded twice, and together", async () => {
      await engine.load([arithmetic, arithmetic]);
      await engine.load([arithmetic]);
      await engine.write(new Map([["total", float32([3], [1, 2, 3])]]));
      await engine.run(addTo("total", float32([3], [1, 1, 1])));
      expect(sameType(await readOne("total"), three)).toBe(true);
    });

    if (blocking === undefined) {
      test("the caller's thread goes on while a long run is under way", async () => {
        const square = { dtype: "float32", shape: [512, 512] } as const;
        const long = program("long", { x: square, w: square }, (builder) => {
          let x = "x";
          for (let i = 0; i < longProducts; i++) x = builder.emit("MatMul", [x, "w"]);
          return [x];
        });
        const feed = (): Tensor =>
          tensor("float32", square.shape, new Float32Array(512 * 512).fill(1 / 512));
        await engine.load([long]);
        let isRunning = true;
        const ended = engine
          .run({
            program: long.id,
            feeds: new Map([
              ["x", feed()],
              ["w", feed()],
            ]),
            keep: new Map(),
            fetch: long.graph.outputs,
          })
          .finally(() => {
            isRunning = false;
          });
        const gaps: number[] = [];
        while (isRunning) {
          const startedMs = performance.now();
          await new Promise((resolve) => setTimeout(resolve, 1));
          gaps.push(performance.now() - startedMs);
        }
        const { computeMs, outputs } = await ended;
        expectTensor(outputs.get(long.graph.outputs[0] as string), feed());
        gaps.sort((one, other) => one - other);
        const share = gaps.filter((gap) => gap < timerMs).length / gaps.length;
        expect(computeMs).toBeGreaterThan(50);
        expect(share, `share of 1 ms timers that took less than ${timerMs} ms`).toBeGreaterThan(
          0.8,
        );
        expect(gaps.at(-1), "longest gap").toBeLessThan(computeMs / 2);
      });
    }
  });
}
