/** `edgeloom watch`: follows a run that somebody serves, in the words of serve itself. */
import { formatMs, measuredWords, type RunSummary } from "../../index.ts";
import { watch } from "../../nodejs.ts";
import { exitCodeOf, exitCodes } from "../exit.ts";
import { RunReporter } from "../run-reporter.ts";
import { bold, dim, fail, say } from "../terminal.ts";

/** A server that is silent for so long after a connection is given up. */
const patienceMs = 30_000;

export async function watchRun(address: string): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let reporter = new RunReporter();
  let newestMs = 0;
  let isTold = false;
  let lostSince: number | null = null;
  const stop = (): void => {
    observer.close();
    resolve();
  };
  const observer = await watch(address, {
    onRun(run) {
      say(bold(`watching run ${run}`));
      reporter = new RunReporter();
    },
    onRecords(records) {
      for (const timed of records) {
        newestMs = timed.atMs;
        reporter.tell(timed);
      }
      const { summary } = reporter;
      if (summary.end === null || isTold) return;
      isTold = true;
      ended(summary, newestMs);
      stop();
    },
    onState(state) {
      switch (state.kind) {
        case "refused":
          fail(state.text);
          process.exitCode = exitCodes.usage;
          return stop();
        case "lost":
          lostSince ??= performance.now();
          if (performance.now() - lostSince > patienceMs) {
            fail(`nobody has answered at ${address.split("#")[0]} for ${formatMs(patienceMs)}`);
            process.exitCode = exitCodes.failed;
            return stop();
          }
          return say(dim(`no connection; trying again in ${formatMs(state.retryMs)}`));
        case "watching":
          lostSince = null;
          return;
        case "connecting":
          return;
      }
    },
  });
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  return promise;
}

function ended(summary: RunSummary, atMs: number): void {
  const { end, rounds, roundsAsked } = summary;
  if (end === null) return;
  const measured = measuredWords(summary);
  const reached = measured === null ? "" : `, ${measured.join(" ")}`;
  say();
  say(
    `${bold(end.reason)}: ${rounds} of ${roundsAsked} rounds${reached}, ${formatMs(atMs)} in all`,
  );
  process.exitCode = exitCodeOf(end.reason);
}
