/** `edgeloom check`: a model's gradients against finite differences and PyTorch's. */
import { check, loadModel, type Model } from "../../nodejs.ts";
import { exitCodes } from "../exit.ts";
import { bold, say, status, table } from "../terminal.ts";

export interface CheckFlags {
  readonly batch?: number;
  readonly shape?: readonly number[];
  readonly tolerance: number;
  readonly seconds: number;
  readonly json?: true;
}

/** "3.1e-5"; a dash for what was not measured. */
const share = (value: number | null): string => (value === null ? "-" : value.toExponential(1));

/** A model whose samples have this shape, where the file leaves it open. */
function withShape(model: Model, sizes: readonly number[] | undefined): Model {
  const [input, ...others] = model.graph.inputs;
  if (sizes === undefined || input === undefined) return model;
  const shape = [...input.shape.slice(0, 1), ...sizes];
  return { ...model, graph: { ...model.graph, inputs: [{ ...input, shape }, ...others] } };
}

export async function checkModel(name: string, options: CheckFlags): Promise<void> {
  const model = withShape(
    loadModel({ model: name, modelOptions: {}, seed: 1 }, process.cwd()),
    options.shape,
  );
  const result = await check({ ...options, model, progress: status });
  const { parameters, autograd, isRight } = result;
  const columns = [
    { title: "parameter" },
    { title: "largest gradient", align: "right" },
    { title: "finite differences", align: "right" },
    { title: "PyTorch", align: "right" },
    { title: "rounding", align: "right" },
    { title: "verdict" },
  ] as const;
  const rows = parameters.map((parameter) => [
    parameter.name,
    parameter.largest.toExponential(2),
    share(parameter.differences),
    share(parameter.autograd),
    share(parameter.rounding),
    parameter.verdict,
  ]);
  for (const line of table(columns, rows)) say(line);
  say();
  say(
    "skipped" in autograd
      ? `PyTorch was left out: ${autograd.skipped}.`
      : `PyTorch ${autograd.version}; its loss differs by ${share(autograd.loss)}.`,
  );
  const count = (verdict: string): number =>
    parameters.filter((parameter) => parameter.verdict === verdict).length;
  const [off, open] = [count("off"), count("not measured")];
  const unknown = open === 0 ? "" : `, ${open} not measured`;
  say(
    isRight
      ? bold(`Right within ${options.tolerance}: ${count("ok")} gradients${unknown}.`)
      : bold(`Not right: ${off} of ${parameters.length} gradients are off${unknown}.`),
  );
  if (options.json) say(JSON.stringify({ model: model.graph.name, ...result }));
  process.exitCode = isRight ? exitCodes.done : exitCodes.failed;
}
