/** Gradients of a model by PyTorch, where this machine has it: `autograd.py` in a process of its own. */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readSafetensors, writeSafetensors } from "../base/safetensors.ts";
import type { DenseTensor } from "../base/tensor.ts";
import {
  type Attribute,
  type Graph,
  type GraphNode,
  isSubgraph,
  isTrained,
} from "../compile/graph.ts";

/** A model with all that it takes, and the answer that it should give. */
export interface AutogradRequest {
  /** As it is read, before any pass. */
  readonly graph: Graph;
  /** Inputs, noise and parameters by name. */
  readonly values: ReadonlyMap<string, DenseTensor>;
  readonly target: DenseTensor;
}

/** What PyTorch says, or why it says nothing. */
export type AutogradAnswer =
  | {
      readonly version: string;
      readonly loss: number;
      /** In float64. */
      readonly gradients: ReadonlyMap<string, DenseTensor>;
      /** Largest difference between its own gradients in float32 and in float64. */
      readonly rounding: Readonly<Record<string, number>>;
    }
  | { readonly skipped: string };

const script = fileURLToPath(new URL("./autograd.py", import.meta.url));
const limitMs = 300_000;
const targetName = "target of the check";

/** @param python the command of an interpreter */
export async function autograd(
  { graph, values, target }: AutogradRequest,
  python: string,
): Promise<AutogradAnswer> {
  const folder = mkdtempSync(join(tmpdir(), "edgeloom-check-"));
  try {
    const trained = graph.parameters.filter(isTrained).map(({ name }) => name);
    const moved = graph.parameters.filter(({ buffer, frozen }) => buffer && !frozen);
    const buffers = new Set(moved.map(({ name }) => name));
    const nodes = graph.nodes.map((node) => plainNode(node, buffers));
    const request = { nodes, trained, output: graph.outputs[0], target: targetName };
    writeFileSync(join(folder, "graph.json"), JSON.stringify(request));
    const all = new Map([...graph.constants, ...values, [targetName, target] as const]);
    writeFileSync(join(folder, "values.safetensors"), writeSafetensors(all));
    const { text, failure } = await output(python, [script, folder]);
    if (failure !== null) return { skipped: failure };
    const report: Report = JSON.parse(text);
    if ("missing" in report) return { skipped: `no ${report.missing} there` };
    const bytes = new Uint8Array(readFileSync(join(folder, "gradients.safetensors")));
    const { tensors } = readSafetensors(bytes);
    return { ...report, gradients: tensors };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What the script prints. */
type Report =
  | { readonly missing: string }
  | {
      readonly version: string;
      readonly loss: number;
      readonly rounding: Readonly<Record<string, number>>;
    };

/** A node as JSON holds it. Batch normalisation measures where its statistics move. */
const plainNode = (node: GraphNode, buffers: ReadonlySet<string>): object => ({
  ...node,
  frozen: !node.inputs.some((name) => buffers.has(name)),
  attributes: Object.fromEntries(
    Object.entries(node.attributes).map(([name, value]) => [name, plainValue(value, buffers)]),
  ),
});

function plainValue(value: Attribute, buffers: ReadonlySet<string>): unknown {
  if (typeof value !== "object" || Array.isArray(value)) return value;
  if (isSubgraph(value)) {
    return { ...value, nodes: value.nodes.map((node) => plainNode(node, buffers)) };
  }
  const { dtype, data } = value as DenseTensor;
  const codes = { int64: "I64", int32: "I32", bool: "BOOL", int8: "I8", uint8: "U8" } as const;
  return { number: Number(data[0]), dtype: dtype in codes ? codes[dtype as "int64"] : "F64" };
}

/** What a program prints, or why it fails. */
function output(
  command: string,
  args: readonly string[],
): Promise<{ readonly text: string; readonly failure: string | null }> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], timeout: limitMs });
    let [text, errors] = ["", ""];
    child.stdout.on("data", (chunk) => (text += chunk));
    child.stderr.on("data", (chunk) => (errors += chunk));
    child.once("error", () => resolve({ text, failure: `there is no ${command}` }));
    child.once("close", (status) => {
      const last = errors.trim().split("\n").at(-1) ?? "";
      const failure = /No module named 'torch'/.test(errors)
        ? `${command} has no torch`
        : `${command} ended with ${status}: ${last}`;
      resolve({ text, failure: status === 0 ? null : failure });
    });
  });
}
