/** Parties of a job: who holds which columns of the samples, where two nodes share them (vertical data). */
import * as z from "zod/mini";
import { InputError } from "../base/errors.ts";
import type { Party } from "../base/party.ts";

const columns = z.array(z.int().check(z.nonnegative())).check(z.minLength(1));

/** Columns of the model's input: those of the party that has the labels as well, and those of the other one. */
export const partiesSchema = z.tuple([columns, columns]);
type Parties = z.infer<typeof partiesSchema>;

/** What of a job has a bearing on its parties. */
interface SharingJob {
  readonly planner: string;
  readonly parties?: Parties | undefined;
  readonly fleet: { readonly devices: readonly unknown[] };
}

/** Parties whose nodes share the samples of a job; null where nodes hold whole samples, and train them so. */
export const sharingParties = ({ planner, parties }: SharingJob): Parties | null =>
  planner === "two-parties" && parties !== undefined ? parties : null;

/**
 * What the device at a place of a job's fleet has, as far as the job tells: which keys its samples have, only data do.
 * Null where devices have whole samples.
 */
export function partyAt(job: SharingJob, place: number): Party | null {
  const columns = sharingParties(job)?.[place];
  return columns === undefined ? null : { columns, hasLabels: place === 0, keys: "0".repeat(16) };
}

/** @throws InputError where a column is named twice, or the planner has not what it needs */
export function refuseParties(
  { planner, parties, fleet: { devices } }: SharingJob,
  locate: (path: readonly PropertyKey[]) => string,
): void {
  const all = parties?.flat() ?? [];
  const twice = all.find((column, i) => all.indexOf(column) < i);
  if (twice !== undefined) {
    throw new InputError({
      what: "parties",
      received: `column ${twice} twice`,
      allowed: "each column once, with the party that holds it",
      where: locate(["parties"]),
    });
  }
  if (planner !== "two-parties" && parties !== undefined) {
    throw new InputError({
      what: "parties",
      received: `those of the planner ${planner}`,
      allowed: "nothing, or planner: two-parties",
      where: locate(["parties"]),
    });
  }
  if (planner !== "two-parties") return;
  if (parties === undefined || devices.length !== 2) {
    throw new InputError({
      what: parties === undefined ? "parties" : "fleet.devices",
      received: parties === undefined ? "nothing" : String(devices.length),
      allowed:
        "with the planner two-parties, the columns of each party (parties: [[0], [1]]), of which the first has " +
        "the labels, and a device for each of both",
      where: locate(parties === undefined ? ["planner"] : ["fleet", "devices"]),
    });
  }
}
