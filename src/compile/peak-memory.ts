/**
 * How much memory an engine needs to run a program beside what it is fed: the peak of what is
 * alive at once. It follows ONNX Runtime on a CPU: nodes run in the order of a depth-first search
 * from the last results backwards, a value's memory is free after its last use, and operators
 * that only name a value anew take none.
 */
import { present } from "../base/assert.ts";
import { byteLength } from "../base/tensor.ts";
import type { Graph, GraphNode } from "./graph.ts";
import { inferTypes } from "./infer.ts";
import { ruleOf } from "./ops/table.ts";

/** Bytes alive at the peak of one run of a static graph, its outputs included, its inputs not. */
export function peakBytes(graph: Graph): number {
  const types = inferTypes(graph);
  const nodes = executionOrder(graph.nodes);
  const sources = new Map<string, string>();
  for (const { op, inputs, outputs } of nodes) {
    const [input = "", output = ""] = [inputs[0], outputs[0]];
    if (ruleOf(op).isView) sources.set(output, sources.get(input) ?? input);
  }
  const memoryOf = (name: string): string => sources.get(name) ?? name;
  const lastUse = new Map<string, number>();
  nodes.forEach(({ inputs }, i) => {
    for (const name of inputs) lastUse.set(memoryOf(name), i);
  });
  for (const name of graph.outputs) lastUse.set(memoryOf(name), nodes.length);
  const alive = new Map<string, number>();
  let [now, peak] = [0, 0];
  nodes.forEach(({ inputs, outputs }, i) => {
    for (const name of outputs) {
      if (name === "" || sources.has(name)) continue;
      const bytes = byteLength(present(types.get(name), name));
      alive.set(name, bytes);
      now += bytes;
    }
    peak = Math.max(peak, now);
    for (const name of [...inputs, ...outputs].map(memoryOf)) {
      if ((lastUse.get(name) ?? i) > i) continue;
      now -= alive.get(name) ?? 0;
      alive.delete(name);
    }
  });
  return peak;
}

/** Nodes in the order of a depth-first search from those whose results nobody reads. */
function executionOrder(nodes: readonly GraphNode[]): GraphNode[] {
  const makers = new Map<string, number>();
  nodes.forEach(({ outputs }, i) => {
    for (const name of outputs) if (name !== "") makers.set(name, i);
  });
  const needs = nodes.map(({ inputs }) => {
    const found = inputs.flatMap((name) => makers.get(name) ?? []);
    return [...new Set(found)].sort((a, b) => a - b);
  });
  const read = new Set(needs.flat());
  const order: GraphNode[] = [];
  const visited = new Set<number>();
  for (const [last] of nodes.entries()) {
    if (read.has(last)) continue;
    const stack = [{ at: last, isDone: false }];
    for (let step = stack.pop(); step !== undefined; step = stack.pop()) {
      const { at, isDone } = step;
      if (isDone) order.push(present(nodes[at], "a node"));
      if (isDone || visited.has(at)) continue;
      visited.add(at);
      stack.push({ at, isDone: true });
      for (const need of needs[at] ?? []) {
        if (!visited.has(need)) stack.push({ at: need, isDone: false });
      }
    }
  }
  return order;
}
