/** A report: the run stands in the page itself, written there by the command line. */
import { RecordReader } from "edgeloom";
import { RunModel } from "./run-model.ts";

/** Id of the element that holds the run; `report-file.ts` writes it into the page. */
const runElementId = "edgeloom-run";

/** The run in the page; null where the element is missing, empty or not one of ours. */
export function reportedRun(): RunModel | null {
  const text = document.getElementById(runElementId)?.textContent?.trim() ?? "";
  if (text === "") return null;
  const { run, records }: { run?: unknown; records?: unknown } = JSON.parse(text);
  if (typeof run !== "string" || !Array.isArray(records)) return null;
  const reader = new RecordReader();
  const read = records.flatMap((record) => reader.take(record) ?? []);
  return RunModel.of(run, read, reader.notes);
}
