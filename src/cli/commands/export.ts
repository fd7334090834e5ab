/** `edgeloom export`: a run's newest weights as a plain ONNX model. */
import { writeFileSync } from "node:fs";
import { InputError, messageOf, writeOnnx } from "../../index.ts";
import { openRun } from "../../nodejs.ts";
import { say } from "../terminal.ts";

export function exportRun(run: string, options: { out: string }): void {
  const { graph, weights } = openRun(run);
  try {
    writeFileSync(options.out, writeOnnx(graph, { weights }));
  } catch (error) {
    throw new InputError({
      what: "--out",
      received: `${options.out} (${messageOf(error)})`,
      allowed: "a file that can be written",
    });
  }
  say(`wrote ${options.out}: input ${graph.inputs[0]?.name}, output ${graph.outputs.join(", ")}`);
}
