/** `edgeloom eval`: accuracy of a run's newest weights, or of a model file, on held-out data. */
import { evaluate, loadHeldOutPath, openRun } from "../../nodejs.ts";
import { pathOptions } from "../path-options.ts";
import { bold, say } from "../terminal.ts";

export interface EvaluateFlags {
  readonly data: string;
  readonly label?: string;
  readonly classes?: readonly string[];
  readonly json?: true;
}

export async function evaluateRun(run: string, options: EvaluateFlags): Promise<void> {
  const model = openRun(run);
  const test = loadHeldOutPath(options.data, pathOptions(options));
  const { samples, accuracy, loss } = await evaluate({ model, test });
  say(
    `${bold(`Accuracy ${(100 * accuracy).toFixed(2)} %`)}, loss ${loss.toFixed(4)}, ` +
      `on ${samples.toLocaleString("en")} samples of ${options.data}`,
  );
  if (options.json) say(JSON.stringify({ accuracy, loss, samples }));
}
