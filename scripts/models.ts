/**
 * `npm run models`: writes the table of built-in models into docs/models.md, between its two
 * markers. A test compares the file with what the models are.
 */
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { elementCount } from "../src/base/tensor.ts";
import { formatCount } from "../src/base/units.ts";
import { segmentCosts } from "../src/compile/cost.ts";
import { isTrained } from "../src/compile/graph.ts";
import { lossSpec } from "../src/compile/loss.ts";
import { optimizerSpec } from "../src/compile/optimizer.ts";
import { trainingModel } from "../src/compile/training-model.ts";
import { builtInLoss, builtInModelNames } from "../src/models/catalog.ts";
import { builtInModel } from "../src/models/models.ts";

const page = path.join(import.meta.dirname, "../docs/models.md");
const [begin, end] = ["<!-- table: npm run models -->", "<!-- end of table -->"];

/** The text of docs/models.md with its table as the models are. */
export function modelsPage(): string {
  const text = readFileSync(page, "utf8");
  const [before = "", rest = ""] = text.split(begin);
  const after = rest.split(end)[1] ?? "";
  const rows = builtInModelNames.map((name) => `| ${rowOf(name).join(" | ")} |`);
  const head = [
    "model",
    "a sample",
    "loss",
    "parameters",
    "forward flops a sample",
    "cuts",
    "cuts of two tensors",
  ];
  const table = [`| ${head.join(" | ")} |`, `|${"---|".repeat(head.length)}`, ...rows];
  return `${before}${begin}\n${table.join("\n")}\n${end}${after}`;
}

const batch = 2;

function rowOf(name: string): string[] {
  const { graph } = builtInModel(name, { seed: 1 });
  const loss = builtInLoss(name);
  const cutsOf = (cutTensors: number) => {
    const trained = trainingModel(graph, { batch, cutTensors });
    return { ...trained, cuts: trained.segments.length - 1 };
  };
  const [one, two] = [cutsOf(1), cutsOf(2)];
  const spec = { loss: lossSpec(loss), optimizer: optimizerSpec("sgd") };
  const costs = segmentCosts(one.graph, one.segments, spec);
  const flops = costs.reduce((sum, cost) => sum + cost.forwardFlops, 0) / batch;
  const trained = graph.parameters.filter(isTrained);
  const parameters = trained.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const shape = graph.inputs[0]?.shape.slice(1).join(" x ") ?? "";
  const numbers = [parameters, flops].map((count) => formatCount(count));
  return [name, shape, loss, ...numbers, String(one.cuts), String(two.cuts)];
}

if (process.argv[1] === import.meta.filename) writeFileSync(page, modelsPage());
