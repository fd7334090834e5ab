/** `edgeloom inspect`: a model's segments and what each costs. */
import {
  builtInLoss,
  byteLength,
  formatBytes,
  formatCount,
  formatType,
  isBuiltIn,
  lossSpec,
  type ModelChoices,
  optimizerSpec,
  type SegmentCost,
  segmentCosts,
  trainingModel,
} from "../../index.ts";
import { loadModel } from "../../nodejs.ts";
import { say, table } from "../terminal.ts";

/** "7.7 Mflop", "480 flop". */
const flops = (count: number): string =>
  `${formatCount(count)} flop`.replace(/ (\D) flop$/, " $1flop");

/** What is to be inspected and how; the flags that are left are the model's options. */
export interface InspectFlags extends ModelChoices {
  readonly batch: number;
  readonly tensors: number;
  readonly json?: true;
}

export function inspect(
  name: string,
  { batch, tensors, json, ...modelOptions }: InspectFlags,
): void {
  const model = loadModel({ model: name, modelOptions, seed: 1 }, process.cwd());
  const { graph, segments } = trainingModel(model.graph, { batch, cutTensors: tensors });
  const costs = segmentCosts(graph, segments, {
    loss: lossSpec(isBuiltIn(name) ? builtInLoss(name) : "softmax-cross-entropy"),
    optimizer: optimizerSpec("sgd", { momentum: 0.9 }),
  });
  const total = (of: (cost: SegmentCost) => number): number =>
    costs.reduce((sum, cost) => sum + of(cost), 0);
  say(
    `${graph.name}: ${formatCount(total((cost) => cost.parameterBytes) / 4)} parameters, ` +
      `${flops(total((cost) => cost.forwardFlops) / batch)} forward per sample, ` +
      `${costs.length} segments, ${costs.length - 1} cuts; batch ${batch}`,
  );
  say();
  const columns = [
    { title: "cut", align: "right" },
    { title: "segment" },
    { title: "forward", align: "right" },
    { title: "backward", align: "right" },
    { title: "parameters", align: "right" },
    { title: "saved", align: "right" },
    { title: "out", align: "right" },
    { title: "output" },
  ] as const;
  const rows = costs.map((cost) => [
    cost.index === costs.length - 1 ? "" : String(cost.index + 1),
    cost.name,
    flops(cost.forwardFlops),
    flops(cost.backwardFlops),
    formatBytes(cost.parameterBytes),
    formatBytes(cost.savedBytes),
    formatBytes(cost.outputs.reduce((sum, output) => sum + byteLength(output), 0)),
    cost.outputs.map(formatType).join(", "),
  ]);
  for (const line of table(columns, rows)) say(line);
  say();
  say('Cut k keeps segments 1 to k on the device; "saved" is kept from forward to backward.');
  if (json) say(JSON.stringify({ model: graph.name, batch, segments: costs }));
}
