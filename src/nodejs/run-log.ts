/**
 * The records of a run on disk: one JSON text per line, written as they come and
 * read back from any number on, so that observers who come late cost no memory.
 */
import { closeSync, ftruncateSync, openSync, readFileSync, readSync, writeSync } from "node:fs";
import type { RunRecord } from "../run/metrics/record.ts";
import type { RecordLog } from "../run/observe/hub.ts";

/** The records of a run on disk, open for more. */
export interface RunLog extends RecordLog {
  /** Appends a record with the milliseconds since the run started. */
  append(atMs: number, record: RunRecord): void;
  /** Ends writing and reading; a second time changes nothing. */
  close(): void;
}

/** A new log in a file that is not there yet. @throws Error of the file system */
export const createRunLog = (path: string): RunLog => runLog(openSync(path, "ax+"), [0]);

/**
 * A log that is there already, to be gone on with; what is half written at its end is cut off.
 * @throws Error of the file system
 */
export function reopenRunLog(path: string): RunLog {
  const bytes = readFileSync(path);
  const starts = [0];
  for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, end + 1)) {
    starts.push(end + 1);
  }
  const file = openSync(path, "a+");
  ftruncateSync(file, starts.at(-1));
  return runLog(file, starts);
}

/** @param starts where each line begins, and where the next one will */
function runLog(file: number, starts: number[]): RunLog {
  let isOpen = true;
  const startOf = (line: number): number => starts[line] ?? 0;
  return {
    get count() {
      return starts.length - 1;
    },
    append(atMs, record) {
      const line = Buffer.from(`${JSON.stringify({ atMs: Math.round(atMs), ...record })}\n`);
      writeSync(file, line);
      starts.push(startOf(starts.length - 1) + line.length);
    },
    read(from, bytesMax) {
      const last = starts.length - 1;
      let to = Math.min(from + 1, last);
      while (to < last && startOf(to + 1) - startOf(from) <= bytesMax) to++;
      if (to <= from) return [];
      const bytes = Buffer.alloc(startOf(to) - startOf(from));
      readSync(file, bytes, 0, bytes.length, startOf(from));
      return bytes.toString("utf8").trimEnd().split("\n");
    },
    close() {
      if (isOpen) closeSync(file);
      isOpen = false;
    },
  };
}
