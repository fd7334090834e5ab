/** Reading a job file, with the line of a wrong field in the message. */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { LineCounter, parseDocument } from "yaml";
import { InputError, type Job, messageOf, parseJob } from "../index.ts";

export interface JobFile {
  readonly job: Job;
  /** The file's own text, kept with the run. */
  readonly text: string;
  /** Folder of the file: paths in the job are relative to it. */
  readonly folder: string;
}

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
  return { ...parseJobText(text, path), text, folder: dirname(resolve(path)) };
}

function parseJobText(text: string, path: string): { job: Job } {
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
  return { job: parseJob(document.toJS(), locate) };
}

function offsetOf(
  document: ReturnType<typeof parseDocument>,
  path: readonly PropertyKey[],
): number | null {
  const node = document.getIn(path, true) as { range?: [number, number, number] } | undefined;
  return node?.range?.[0] ?? null;
}
