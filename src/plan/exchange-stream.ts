/** How a model goes by fragments: how long each may be under way, and what members wait for it nevertheless. */
import { delayMax, type StreamRules } from "../sync/streaming.ts";

/** What a job says of it; a delay of null is as long as links need. */
export interface StreamChoice extends Pick<StreamRules, "fragments" | "mix"> {
  readonly delay: number | null;
}

/** Each fragment goes on its way for as many updates as hide it, where there are so many before the next. */
export function streamRules(
  { fragments, delay, mix }: StreamChoice,
  { every, allMs, computeMs }: { every: number; allMs: number; computeMs: number },
): StreamRules {
  const needed = Math.max(1, Math.ceil(allMs / fragments / computeMs));
  const most = delayMax(every, fragments);
  return { fragments, delay: Math.min(most, delay ?? needed), mix };
}

/**
 * What members wait for in a round, beside computing: of each fragment what its updates do not hide, and the last exchange,
 * which is of all entries.
 * @param allMs what all entries take at once
 * @param exchanges of a round
 */
export function streamedMs(
  { fragments, delay }: StreamRules,
  { allMs, computeMs, exchanges }: { allMs: number; computeMs: number; exchanges: number },
): number {
  const waitMs = Math.max(0, allMs / fragments - delay * computeMs);
  return (exchanges * fragments - 1) * waitMs + allMs;
}

export const streamText = ({ fragments, delay }: StreamRules): string =>
  ` by ${fragments} fragments, each of which is under way while ${delay} ` +
  `${delay === 1 ? "update is" : "updates are"} made`;
