/** Exit codes of the command line. */
export const exitCodes = { done: 0, failed: 1, usage: 2, interrupted: 130 } as const;

/** The code that tells how a run ended. */
export function exitCodeOf(reason: "finished" | "interrupted" | "failed"): number {
  switch (reason) {
    case "finished":
      return exitCodes.done;
    case "interrupted":
      return exitCodes.interrupted;
    case "failed":
      return exitCodes.failed;
  }
}
