/**
 * The exact choice of a pipeline behind the `pipeline` planner, as plain numbers: which servers
 * take part, in which order, where the model is cut between them, and how large the window is.
 * `pipeline-search.ts` finds the chain for a given window.
 */
import { assert } from "../base/assert.ts";
import {
  type ChosenChain,
  fits,
  type PipelineProblem,
  roomyWindow,
  windowMax,
} from "./pipeline-schedule.ts";
import { PipelineSearch } from "./pipeline-search.ts";

/**
 * The chain with the shortest round; of equals the one with the smallest window and the fewest stages.
 *
 * A window that the chain itself decides goes together with memory, which bounds the batches in
 * flight. So windows are tried from the smallest: `free` is the best chain whose stages hold
 * K + 1 batches, timed as if the window were as long as any. Where it also holds the batches of the
 * window that it wants, no chain with K or more is better; where it does not, chains are timed
 * with K, and the next window is tried.
 *
 * @param must servers that have to take part, as bits by node; none where absent
 * @returns null where no chain exists, by memory or by links
 */
export function chooseChain(problem: PipelineProblem, must = 0): ChosenChain | null {
  assert(problem.stages.length <= 31, "a choice is between 30 servers at most");
  const search = new PipelineSearch(problem, must);
  if (problem.schedule !== "window") return search.best({ window: 0, held: 0 }, null);
  const longest = Math.min(problem.work - 1, windowMax);
  if (problem.window !== null) {
    return search.best({ window: problem.window, held: problem.window }, null);
  }
  let best: ChosenChain | null = null;
  for (let window = 0; window <= longest; window++) {
    const free = search.best({ window: longest, held: window }, best);
    if (free === null || free === best) return best;
    const wanted = roomyWindow(free, problem.work);
    if (fits(problem, free.stages, wanted)) return { ...free, window: wanted };
    best = search.best({ window, held: window }, best);
  }
  return best;
}
