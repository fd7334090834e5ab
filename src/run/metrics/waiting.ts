/** How long a node waited in a round: what pipelines call their bubbles. */
import type { NodeRound } from "./record.ts";

/**
 * Time of a round in which a node neither computed nor sent nor received under its pace, in milliseconds.
 * @param ms time of the round
 */
export function waitingMs(
  ms: number,
  { busyMs, sending, receiving }: Pick<NodeRound, "busyMs" | "sending" | "receiving">,
): number {
  // Sending and receiving may go on while it computes: then nothing is left to wait.
  return Math.max(0, ms - busyMs - (sending?.ms ?? 0) - (receiving?.ms ?? 0));
}
