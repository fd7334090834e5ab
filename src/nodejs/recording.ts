/** Records on their way from a coordinator: stamped, written to the run's folder, told to whoever listens. */
import { messageOf } from "../base/errors.ts";
import type { RunRecord } from "../run/metrics/record.ts";
import type { RunFolder } from "./run-folder.ts";

/** Told of a record and of the milliseconds since the run started. */
export type RecordListener = (record: RunRecord, atMs: number) => void;

/**
 * @param folder where lasting records go; null keeps none
 * @param startedAt Unix time in milliseconds from which the run's time counts
 * @param listeners told of each record in turn, when it is in the folder
 * @param onFailure told once, when the folder takes no more (disk full, folder gone)
 */
export function recorder(
  folder: RunFolder | null,
  startedAt: number,
  listeners: readonly RecordListener[],
  onFailure: (text: string) => void,
): (record: RunRecord) => void {
  let isWhole = true;
  const keep = (record: RunRecord, atMs: number): void => {
    if (folder === null || !isWhole || record.type === "activity") return;
    try {
      folder.log.append(atMs, record);
    } catch (error) {
      isWhole = false;
      onFailure(`cannot write records: ${messageOf(error)}`);
    }
  };
  return (record) => {
    const atMs = performance.timeOrigin + performance.now() - startedAt;
    keep(record, atMs);
    for (const listen of listeners) listen(record, atMs);
  };
}
