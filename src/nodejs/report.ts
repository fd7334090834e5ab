/**
 * What a run leaves behind when it is over, beside what it trained: its line for
 * lists, and a report that is one file with everything in it.
 */
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../base/errors.ts";
import type { CoordinatorEnd } from "../run/coordinator/farewell.ts";
import { RunHistory } from "../run/metrics/history.ts";
import { listingOf } from "../run/metrics/listing.ts";
import { RecordReader } from "../run/metrics/read.ts";
import type { StoredSummary } from "./archive.ts";
import { pageFolder } from "./page-folder.ts";
import { type RunFolder, runFiles } from "./run-folder.ts";

/** Where the page's build leaves room for the records, and what fills it. */
const slot = /(<script type="application\/json" id="edgeloom-run">)(<\/script>)/;

/**
 * Completes the folder of a run that has ended.
 * @returns the end as it was, or "failed" where the folder takes no more
 */
export async function completeFolder(
  folder: RunFolder,
  end: CoordinatorEnd,
): Promise<CoordinatorEnd> {
  try {
    await writeReport(folder);
    return end;
  } catch (error) {
    const text = `${end.text}; cannot write the report: ${messageOf(error)}`;
    return { reason: "failed", text };
  }
}

/** Writes `summary.json` and, where the page is built, `report.html`. */
async function writeReport({ run, path }: RunFolder): Promise<void> {
  const records = join(path, runFiles.records);
  const text = await readFile(records, "utf8");
  const reader = new RecordReader();
  const history = new RunHistory();
  for (const timed of reader.takeFile(text)) history.add(timed);
  const recordBytes = (await stat(records)).size;
  const listing = listingOf(run, history, { notes: reader.notes, files: [] });
  const summary: StoredSummary = { recordBytes, listing };
  await writeFile(join(path, runFiles.summary), `${JSON.stringify(summary)}\n`);
  const template = await readTemplate();
  if (template !== null) {
    await writeFile(join(path, runFiles.report), fillReport(template, run, text));
  }
}

/** The report page with a run's records inside; records that are no JSON are left out. */
function fillReport(template: string, run: string, recordsText: string): string {
  const lines = recordsText.split("\n").filter((line) => isJson(line));
  // The browser ends a script at "</script", wherever it stands; JSON has an escape for it.
  const json = `{"run":${JSON.stringify(run)},"records":[${lines.join(",")}]}`.replaceAll(
    "<",
    "\\u003c",
  );
  return template.replace(slot, (_all, open: string, close: string) => open + json + close);
}

async function readTemplate(): Promise<string | null> {
  const page = pageFolder();
  if (page === null) return null;
  const text = await readFile(join(page, runFiles.report), "utf8").catch(() => null);
  return text !== null && slot.test(text) ? text : null;
}

function isJson(line: string): boolean {
  try {
    JSON.parse(line);
    return true;
  } catch {
    return false;
  }
}
