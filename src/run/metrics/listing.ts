/** A run as a line of a list: what past runs show before one is opened. */
import type { RunHistory } from "./history.ts";
import type { RunSummary } from "./summary.ts";

/** A run as one line of a list. */
export interface RunListing {
  /** Name of its folder. */
  readonly run: string;
  readonly name: string;
  readonly model: string;
  readonly planner: string;
  /** ISO 8601, UTC; null where it was not recorded. */
  readonly startedAt: string | null;
  readonly seed: number | null;
  readonly devices: number;
  readonly rounds: number;
  readonly roundsAsked: number;
  readonly accuracy: number | null;
  /** Loss on held-out data; absent in listings that older releases stored. */
  readonly heldOutLoss?: number | null;
  /** True when they are the final ones, over all held-out samples. */
  readonly isFinal: boolean;
  readonly medianRoundMs: number | null;
  /** Time of the newest record. */
  readonly wallMs: number;
  readonly bytesUp: number;
  readonly bytesDown: number;
  /** Null where the run has not ended, or died without a word. */
  readonly end: RunSummary["end"];
  /** What could not be read of it, in words. */
  readonly notes: readonly string[];
  /** Files of its folder that can be downloaded. */
  readonly files: readonly string[];
}

/** The line of a run whose records `history` holds. */
export function listingOf(
  run: string,
  history: RunHistory,
  rest: { notes: readonly string[]; files: readonly string[] },
): RunListing {
  const { started, environment, atMs, summary } = history;
  const {
    rounds,
    roundsAsked,
    accuracy,
    heldOutLoss,
    isFinal,
    medianRoundMs,
    bytesUp,
    bytesDown,
    end,
  } = summary;
  return {
    run,
    name: started?.name ?? "?",
    model: started?.model ?? "?",
    planner: started?.planner ?? "?",
    startedAt: environment?.startedAt ?? null,
    seed: started?.seed ?? null,
    devices: summary.nodes.filter((node) => node.kind === "device").length,
    rounds,
    roundsAsked,
    accuracy,
    heldOutLoss,
    isFinal,
    medianRoundMs,
    wallMs: atMs,
    bytesUp,
    bytesDown,
    end,
    ...rest,
  };
}
