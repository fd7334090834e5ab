/** The program that measures a whole model on held-out samples. */
import { present } from "../base/assert.ts";
import type { TensorType } from "../base/tensor.ts";
import { GraphBuilder } from "./builder.ts";
import type { Graph } from "./graph.ts";
import { lossRule } from "./loss.ts";
import { finish, type Program, port, type TrainingSpec } from "./program.ts";
import { segmentModel } from "./segment.ts";

/** The whole model in its inference form with its loss and, where that can tell, the count of right answers. */
export function evaluateProgram(graph: Graph, spec: Pick<TrainingSpec, "loss">): Program {
  const [input] = graph.inputs;
  const output = present(graph.outputs[0], "a model's output");
  const builder = new GraphBuilder(`${graph.name} evaluation`);
  const { name, dtype, shape } = present(input, "a model's input");
  const feature: TensorType = { dtype, shape: shape as readonly number[] };
  builder.input(name, feature);
  for (const parameter of graph.parameters) builder.parameter(parameter.name, parameter);
  for (const [constant, value] of graph.constants) builder.constant(value, constant);
  for (const node of graph.nodes) builder.add(node);
  const rule = lossRule(spec.loss);
  const labels = rule.labels(builder.type(output));
  const labelsName = builder.input(builder.free("labels"), labels);
  const { loss } = rule.loss(builder, output, labelsName);
  const correct = rule.correct(builder, output, labelsName);
  const measured = [loss, ...(correct === null ? [] : [correct])];
  return finish("evaluate", 0, segmentModel(graph).length, builder.graph(measured), {
    inputs: [
      port(name, "feature", feature),
      port(labelsName, "labels", labels),
      ...graph.parameters.map((parameter) => port(parameter.name, "parameter", parameter)),
    ],
    outputs: [
      port(loss, "loss", builder.type(loss)),
      ...(correct === null ? [] : [port(correct, "correct", builder.type(correct))]),
    ],
  });
}
