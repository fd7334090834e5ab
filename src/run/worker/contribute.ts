/** What a copy brings at the end of its round: its trained tensors, what they cost, and what came of it. */
import { present } from "../../base/assert.ts";
import type { CopyId } from "../../base/ids.ts";
import type { Tensor } from "../../base/tensor.ts";
import { movedPorts, type StagePrograms } from "../../compile/program.ts";
import { broughtKinds, type ExchangePlan } from "../../plan/exchange.ts";
import type { Slot } from "../host.ts";
import type { StraightTraffic } from "../metrics/record.ts";
import type { Tensors } from "../wire/frame.ts";
import type { ContributionMessage } from "../wire/messages.ts";
import type { CopyTensors } from "./copy-tensors.ts";
import type { StageAccount } from "./stage-account.ts";
import type { StageSurroundings } from "./stage-surroundings.ts";

/** A copy whose round's work is done. */
export interface DoneCopy {
  readonly copy: CopyId;
  readonly programs: StagePrograms;
  readonly tensors: CopyTensors;
  /** What the codecs of its links have come to; absent where chains share it. */
  readonly memory?: Tensors;
  readonly account: StageAccount;
  readonly at: { readonly term: number; readonly round: number; readonly chain: string };
  /** Where the round goes on, from what the engine has: the time until what was brought has to have left; null at its end. */
  readonly interimMs?: number | null;
  /** Batches trained, and whose they were where they are of several chains. */
  readonly steps: number;
  readonly turns: readonly number[];
  /** Where it is a member of an exchange: what it joined of others, and whether one of them brings what all have. */
  readonly exchange?: {
    readonly plan: ExchangePlan;
    readonly told: Pick<ContributionMessage, "joined" | "took" | "transfers">;
    readonly isRest: boolean;
  };
  straight(): StraightTraffic[];
  /** Called once what the engine holds is what the next round goes on from, which is before it is home; never where the round goes on. */
  onSettled(): void;
  /** Called once what is brought has left. */
  onGone?(): void;
}

/**
 * Reads a copy's tensors out of the engine and sends them home. Where they travel as rounded differences, the engine
 * goes on from what comes of those, as everybody does.
 * @param isVoid whether nobody waits for them any more
 */
export function contribute(done: DoneCopy, around: StageSurroundings, isVoid: () => boolean): void {
  const { copy, programs, tensors, at, exchange, memory = new Map(), interimMs = null } = done;
  const isInterim = interimMs !== null;
  // Where the round goes on, so does the account.
  const { meanLoss: loss, passes, computeMs, held } = done.account;
  const isRest = exchange?.isRest ?? false;
  const { engine } = around.host;
  const settle = (): void => {
    tensors.settle();
    done.onSettled();
  };
  const names = new Map<Slot, string>();
  const kinds = broughtKinds(exchange?.plan ?? null, isRest);
  for (const { of, role } of movedPorts(programs)) {
    const kind = role === "state" ? "state" : tensors.isMoved(of) ? "weight" : "statistic";
    if (kinds.includes(kind)) names.set(tensors.slot(of), of);
  }
  if (tensors.isWhole && !isInterim) settle();
  engine.read([...names.keys()], (outcome) => {
    if (isVoid()) return;
    if (!outcome.ok) return around.fail(outcome.error);
    const values = new Map<string, Tensor>();
    for (const [slot, value] of outcome.value) values.set(present(names.get(slot), slot), value);
    const brought = { id: copy, round: at.round, values };
    const sent = tensors.encoded(brought);
    if (!tensors.isWhole && !isInterim) {
      const slots = tensors.goOnFrom(brought, sent);
      engine.write(slots, (written) => {
        if (!written.ok && !isVoid()) around.fail(written.error);
      });
      settle();
    }
    around.send(
      {
        type: "contribution",
        id: `${at.term}/${at.round}/${copy}`,
        ...at,
        ...{ copy, loss, steps: done.steps, passes, turns: done.turns, computeMs, held },
        ...exchange?.told,
        ...(isRest && { isRest }),
        ...(isInterim && { isInterim }),
        paced: around.paced(),
        straight: done.straight(),
        bytesPerMs: around.achieved(),
        peakRssBytes: around.host.peakMemoryBytes(),
      },
      memory.size === 0 ? sent : new Map([...sent, ...memory]),
      {
        // The next round may be under way by then, or this one still.
        isBackground: true,
        ...(done.onGone && { onGone: done.onGone }),
        ...(isInterim && { overMs: interimMs }),
      },
    );
  });
}
