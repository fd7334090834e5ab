/** `edgeloom eval`: accuracy of a run's newest weights, or of a model file, on held-out data. */
import { evaluateModel, loadHeldOutPath, NativeEngine, openRun } from "../../nodejs.ts";
import { bold, say } from "../terminal.ts";

export async function evaluateRun(
  run: string,
  options: { data: string; json?: true },
): Promise<void> {
  const model = openRun(run);
  const test = loadHeldOutPath(options.data);
  const engine = new NativeEngine({ threads: 1 });
  try {
    const { samples, correct, loss } = await evaluateModel(model, test, engine);
    const accuracy = (correct ?? Number.NaN) / samples;
    say(
      `${bold(`Accuracy ${(100 * accuracy).toFixed(2)} %`)}, loss ${loss?.toFixed(4)}, ` +
        `on ${samples.toLocaleString("en")} samples of ${options.data}`,
    );
    if (options.json) say(JSON.stringify({ accuracy, loss, samples }));
  } finally {
    await engine.close();
  }
}
