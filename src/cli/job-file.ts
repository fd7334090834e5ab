/** Reading a job file or a scenario, with the line of a wrong field in the message. */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { LineCounter, parseDocument } from "yaml";
import { InputError, type Job, messageOf } from "../index.ts";
import { parseScenario, type Scenario } from "../sim.ts";
import { dim, say } from "./terminal.ts";

export interface JobFile {
  readonly job: Job;
  /** The job with its machines, and what happens to them. */
  readonly scenario: Scenario;
  /** The file's own text, kept with the run. */
  readonly text: string;
  /** Folder of the file: paths in the job are relative to it. */
  readonly folder: string;
}

/** Whether a path given as data is a job file, whose data are meant. */
export const isJobFile = (path: string): boolean => /\.ya?ml$/.test(path);

/** @throws InputError naming file, line and field */
export function readJobFile(path: string): JobFile {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new InputError(
      {
        what: "job file",
        received: `${path} (${messageOf(error)})`,
        allowed: "a readable YAML file",
      },
      { cause: error },
    );
  }
  const scenario = parseText(text, path);
  return { job: scenario.job, scenario, text, folder: dirname(resolve(path)) };
}

/** Says which fields of a scenario a command does without; none of a plain job. */
export function sayUnused({ fields }: Scenario, command: string, used: readonly string[]): void {
  const rest = fields.filter((field) => !used.includes(field));
  if (rest.length === 0) return;
  say(dim(`${rest.join(", ")}: edgeloom simulate uses them, ${command} does not`));
}

function parseText(text: string, path: string): Scenario {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: true });
  const [problem] = document.errors;
  if (problem !== undefined) {
    throw new InputError({
      what: "job file",
      received: problem.message.split("\n")[0] ?? problem.message,
      allowed: "YAML",
      where: `${path}:${lines.linePos(problem.pos[0]).line}`,
    });
  }
  const locate = (fields: readonly PropertyKey[]): string => {
    // A missing field stands where its nearest existing parent does.
    for (let depth = fields.length; depth >= 0; depth--) {
      const key = fields.slice(0, depth);
      const offset = offsetOf(document, key);
      if (offset !== null) return `${path}:${lines.linePos(offset).line}`;
    }
    return path;
  };
  return parseScenario(document.toJS(), locate);
}

function offsetOf(
  document: ReturnType<typeof parseDocument>,
  path: readonly PropertyKey[],
): number | null {
  const node = document.getIn(path, true) as { range?: [number, number, number] } | undefined;
  return node?.range?.[0] ?? null;
}
