/**
 * From what cuts reveal to a floor under them: the least number of segments that a device has to keep
 * so that what leaves it reveals no more than is allowed.
 */
import { PlanError } from "../base/errors.ts";
import type { Reconstruction } from "./leakage.ts";

/** A cut of an audit, as far as a floor depends on it. */
export interface ScoredCut {
  readonly cut: number;
  readonly reconstruction: Pick<Reconstruction, "r2"> | null;
}

/** A floor, and why it is where it is. */
export interface LeakFloor {
  readonly cutMin: number;
  readonly reason: string;
}

/**
 * The least audited cut that is within the bound together with all deeper ones.
 *
 * What crosses a deeper cut is computed from what crosses a shallower one, so it cannot hold more of the
 * inputs; a score that rises with depth says that the attack did better there, and whoever knows the
 * layers in between can carry it out at the shallower cut just so. Hence a shallower cut counts with the
 * largest score of those behind it, and a cut that was not audited with that of the audited one before it.
 * @param leakMax largest share of the inputs' variance that may be reconstructed (R²)
 * @throws PlanError where the deepest cut is over the bound, or reconstruction was not measured
 */
export function leakFloor(
  { cuts }: { readonly cuts: readonly ScoredCut[] },
  leakMax: number,
): LeakFloor {
  const ordered = [...cuts].sort((a, b) => a.cut - b.cut);
  const firstOver = ordered.findLastIndex((cut) => !(r2Of(cut) <= leakMax));
  const chosen = ordered[firstOver + 1];
  if (chosen === undefined) {
    const least = ordered.reduce((a, b) => (r2Of(b) < r2Of(a) ? b : a));
    throw new PlanError(
      `the deepest audited cut, ${ordered.at(-1)?.cut}, reveals more of the inputs than an R² of ` +
        `${leakMax} allows; the one that reveals least is cut ${least.cut} with ${shown(least)}`,
    );
  }
  const over = ordered[firstOver];
  const reason =
    over === undefined
      ? `all audited cuts keep to R² ${leakMax}; inputs at cut ${chosen.cut} come back with ${shown(chosen)}`
      : `from cut ${chosen.cut} on (R² ${shown(chosen)}) inputs come back with R² ${leakMax} at most; ` +
        `at cut ${over.cut} with ${shown(over)}`;
  const passedOver = ordered.slice(0, Math.max(0, firstOver)).filter((cut) => r2Of(cut) <= leakMax);
  return { cutMin: chosen.cut, reason: reason + wordsOn(passedOver) };
}

/** On cuts that score low in front of one that scores high. */
function wordsOn(cuts: readonly ScoredCut[]): string {
  if (cuts.length === 0) return "";
  const which = cuts.map(({ cut }) => cut).join(", ");
  const what = cuts.length === 1 ? `cut ${which} scores` : `cuts ${which} score`;
  return `; ${what} lower, but a deeper cut shows that more can be had there`;
}

const shown = (cut: ScoredCut): string => Math.max(0, r2Of(cut)).toFixed(2);

function r2Of({ cut, reconstruction }: ScoredCut): number {
  if (reconstruction !== null) return reconstruction.r2;
  throw new PlanError(
    `the audit has no reconstruction at cut ${cut}: its inputs are no quantities`,
  );
}
