/** `edgeloom audit`: what the traffic at each cut reveals of inputs and labels. */
import { writeFileSync } from "node:fs";
import { type Audit, type CutLeakage, formatBytes, InputError, messageOf } from "../../index.ts";
import { audit, loadModel, loadTraining, withWeights } from "../../nodejs.ts";
import { readJobFile, sayUnused } from "../job-file.ts";
import { leakagePlot } from "../leakage-plot.ts";
import { bold, dim, say, status, table } from "../terminal.ts";

export interface AuditFlags {
  readonly cuts?: readonly number[];
  readonly samples?: number;
  readonly weights?: string;
  readonly out?: string;
  readonly plot?: string;
  readonly json?: true;
}

export async function auditJob(path: string, options: AuditFlags): Promise<void> {
  const { job, scenario, folder } = readJobFile(path);
  if (!options.json) sayUnused(scenario, "audit", []);
  const made = loadModel(job, folder);
  const found = await audit({
    job,
    model: options.weights === undefined ? made : withWeights(made, options.weights),
    train: loadTraining(job.data, folder),
    ...(options.samples === undefined ? {} : { samples: options.samples }),
    ...(options.cuts === undefined ? {} : { cuts: options.cuts }),
    progress: status,
  });
  const of = options.weights === undefined ? "untrained" : `weights of ${options.weights}`;
  if (options.out !== undefined) write("--out", options.out, `${JSON.stringify(found)}\n`);
  if (options.plot !== undefined) write("--plot", options.plot, leakagePlot(found, of));
  if (options.json) say(JSON.stringify(found));
  else tell(found, of);
}

/** R², similarity or accuracy; a dash for what was not measured. */
const score = (value: number | null | undefined): string => value?.toFixed(3) ?? "-";

function tell({ model, codec, auxiliary, attacked, blind, cuts }: Audit, of: string): void {
  say(bold(`What crosses the cuts of ${model}, ${of}, codec ${codec}`));
  say(
    `attacked: ${attacked.toLocaleString("en")} samples, by somebody who has ` +
      `${auxiliary.toLocaleString("en")} others with their features`,
  );
  say();
  const columns = [
    { title: "cut", align: "right" },
    { title: "after segment" },
    { title: "per sample", align: "right" },
    { title: "inputs R²", align: "right" },
    { title: "SSIM", align: "right" },
    { title: "labels told", align: "right" },
  ] as const;
  const rows = [
    ["", dim("nothing seen"), "", "0.000", score(blind.ssim), score(blind.labelAccuracy)],
    ...cuts.map(rowOf),
  ];
  for (const line of table(columns, rows)) say(line);
  say();
  if (cuts[0]?.reconstruction === null) {
    say("Inputs are numbers of words or things, which no regression gives back: labels alone.");
  }
  say(
    "A stronger attack finds more. Labels go to the stage that holds the loss as they are, so what " +
      "gradients would tell of them is not measured. docs/audit.md",
  );
}

const rowOf = ({ cut, name, bytesPerSample, reconstruction, labelAccuracy }: CutLeakage) => [
  String(cut),
  name,
  formatBytes(bytesPerSample),
  score(reconstruction?.r2),
  score(reconstruction?.ssim),
  score(labelAccuracy),
];

function write(flag: string, path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    throw new InputError(
      {
        what: flag,
        received: `${path} (${messageOf(error)})`,
        allowed: "a file that can be written",
      },
      { cause: error },
    );
  }
}
