/**
 * Damaged ONNX files: whatever bytes come, the compiler answers with a model or a
 * ModelError, in bounded time. `npm run fuzz` does it with 100,000 files; the
 * variable EDGELOOM_FUZZ says how many.
 */

import { readFileSync } from "node:fs";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { joinBytes } from "../../src/base/bytes.ts";
import { ModelError } from "../../src/base/errors.ts";
import { type Random, random } from "../../src/base/random.ts";
import { int64 } from "../../src/base/tensor.ts";
import type { GraphNode, Subgraph } from "../../src/compile/graph.ts";
import { lossSpec } from "../../src/compile/loss.ts";
import { ModelProtoSchema } from "../../src/compile/onnx/onnx_pb.js";
import { readOnnx } from "../../src/compile/onnx/read.ts";
import { writeOnnx } from "../../src/compile/onnx/write.ts";
import { type OpName, ops } from "../../src/compile/ops/table.ts";
import { optimizerSpec } from "../../src/compile/optimizer.ts";
import { stagePrograms } from "../../src/compile/program.ts";
import { segmentModel } from "../../src/compile/segment.ts";
import { specialize } from "../../src/compile/specialize.ts";
import { builtInModel } from "../../src/models/models.ts";
import { pick } from "./damage.ts";

const count = Number(process.env.EDGELOOM_FUZZ ?? 1500);
const opNames = Object.keys(ops);
/** A file that takes longer is as good as a hang. */
const limitMs = 5_000;

/** A copy: slices of a Buffer share its bytes, and damage would pile up. */
const fixture = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../golden/fixtures/${name}.onnx`, import.meta.url)));

function files(): Uint8Array[] {
  const { graph, weights } = builtInModel("lenet5", { seed: 1 });
  return [
    ...["exported-9", "exported-13", "exported-18", "exported-21"].map(fixture),
    // Structure alone, and with its weights.
    writeOnnx(graph),
    writeOnnx(graph, { weights }),
    branching(),
  ];
}

/** Two layers with a branch in a branch between them; sizes choose both. */
function branching(): Uint8Array {
  const node = (
    op: OpName,
    inputs: readonly string[],
    output: string,
    attributes: GraphNode["attributes"] = {},
  ): GraphNode => ({ op, name: output, inputs, outputs: [output], attributes });
  const branch = (nodes: readonly GraphNode[], output: string): Subgraph => ({
    inputs: ["many", "h", "w"],
    nodes,
    outputs: [output],
  });
  const plain = branch([node("MatMul", ["h", "w"], "p"), node("Relu", ["p"], "r")], "r");
  const inner = { then_branch: plain, else_branch: branch([node("Tanh", ["h"], "t")], "t") };
  const outer = { then_branch: branch([node("If", ["many", "many", "h", "w"], "i", inner)], "i") };
  const shape = [8, 8];
  return writeOnnx({
    name: "branching",
    inputs: [{ name: "x", dtype: "float32", shape: ["batch", 8] }],
    parameters: ["w", "v"].map((name) => ({ name, dtype: "float32", shape })),
    constants: new Map([["zero", int64([1], [0])]]),
    nodes: [
      node("MatMul", ["x", "v"], "h"),
      node("Shape", ["h"], "shape"),
      node("Gather", ["shape", "zero"], "size"),
      node("Cast", ["size"], "many", { to: 9 }),
      node("If", ["many", "many", "h", "w"], "c", { ...outer, else_branch: plain }),
      node("MatMul", ["c", "v"], "y"),
    ],
    outputs: ["y"],
  });
}

/** Values that decoders get wrong: lengths beyond the end, counts that overflow, wrong wire types. */
const nastyBytes = [0x00, 0x01, 0x7f, 0x80, 0xff, 0x0a, 0x12, 0x1a, 0x22, 0x2a];
const nastyIntegers = [-1n, 0n, 1n, 2n, 3n, 7n, 64n, 2n ** 31n, 2n ** 62n];
const nastyNumbers = [Number.NaN, Number.POSITIVE_INFINITY, -1, 0, 1, 2, 1e30];

/** Bytes that are wrong anywhere: most such files end in the decoder. */
function damagedBytes(file: Uint8Array, draw: Random): Uint8Array {
  let bytes: Uint8Array = file.slice();
  for (let i = draw.below(4); i >= 0; i--) {
    const at = draw.below(Math.max(1, bytes.length));
    switch (draw.below(5)) {
      case 0:
        bytes[at] = pick(draw, nastyBytes);
        break;
      case 1:
        bytes[at] = (bytes[at] as number) ^ (1 << draw.below(8));
        break;
      case 2:
        bytes = bytes.slice(0, Math.max(1, at));
        break;
      case 3: {
        // A piece stands somewhere else as well.
        const piece = bytes.slice(at, at + 1 + draw.below(40));
        const to = draw.below(bytes.length);
        bytes = joinBytes([bytes.slice(0, to), piece, bytes.slice(to)]);
        break;
      }
      default:
        // A piece is missing.
        bytes = joinBytes([bytes.slice(0, at), bytes.slice(at + 1 + draw.below(20))]);
    }
  }
  return bytes;
}

/** A place in a decoded file: what holds it, and under which key. */
type Place = readonly [holder: Record<string, unknown>, key: string];

/** Every string, number and list of a decoded file; raw weights are left alone. */
function placesOf(value: unknown, places: Place[] = []): Place[] {
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return places;
  const holder = value as Record<string, unknown>;
  for (const key of Object.keys(holder)) {
    if (key.startsWith("$") || key === "case") continue;
    places.push([holder, key]);
    placesOf(holder[key], places);
  }
  return places;
}

/** A well-formed file that says something wrong: other operators, names, sizes, attributes. */
function damagedModel(file: Uint8Array, draw: Random): Uint8Array {
  const model = fromBinary(ModelProtoSchema, file);
  const places = placesOf(model.graph);
  const texts = places.flatMap(([holder, key]) =>
    typeof holder[key] === "string" ? [holder[key]] : [],
  );
  for (let i = draw.below(3); i >= 0; i--) {
    const [holder, key] = pick(draw, places);
    const value = holder[key];
    if (key === "opType") holder[key] = pick(draw, opNames);
    else if (typeof value === "string") holder[key] = pick(draw, texts);
    else if (typeof value === "bigint") holder[key] = pick(draw, nastyIntegers);
    // A whole number may be the code of a type; encoders refuse what is none.
    else if (Number.isInteger(value)) holder[key] = draw.below(17);
    else if (typeof value === "number") holder[key] = pick(draw, nastyNumbers);
    else if (Array.isArray(value) && value.length > 0) {
      const at = draw.below(value.length);
      if (draw.below(2) === 0) value.splice(at, 1);
      else value.splice(at, 0, pick(draw, value));
    }
  }
  return toBinary(ModelProtoSchema, model);
}

/** Takes a file as far as a training step; true where it went all the way. */
function compiled(bytes: Uint8Array): boolean {
  try {
    const graph = specialize(readOnnx(bytes).graph, { batch: 2 });
    const segments = segmentModel(graph);
    stagePrograms(graph, segments, 0, segments.length, {
      loss: lossSpec("softmax-cross-entropy"),
      optimizer: optimizerSpec("sgd", { momentum: 0.9 }),
    });
    return true;
  } catch (error) {
    if (error instanceof ModelError) return false;
    throw error;
  }
}

describe("damaged ONNX files", () => {
  test(`are trained or refused in words, ${count} of them`, {
    timeout: 60_000 + count * 20,
  }, () => {
    const originals = files();
    let whole = 0;
    let slowestMs = 0;
    for (let i = 0; i < count; i++) {
      const draw = random(i + 1);
      const original = originals[i % originals.length] as Uint8Array;
      const file = i % 3 === 0 ? damagedBytes(original, draw) : damagedModel(original, draw);
      const started = performance.now();
      try {
        if (compiled(file)) whole++;
      } catch (error) {
        throw new Error(`file ${i} ends in ${error instanceof Error ? error.stack : error}`);
      }
      slowestMs = Math.max(slowestMs, performance.now() - started);
    }
    expect(slowestMs).toBeLessThan(limitMs);
    // Some damage is harmless and some is not: a test of one kind alone would be blind.
    expect(whole).toBeGreaterThan(count / 20);
    expect(whole).toBeLessThan(count);
  });
});
