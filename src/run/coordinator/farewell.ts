/**
 * The end of a run: what is committed is saved, everybody is told, the end is written down,
 * and when all have gone the owner hears of it, once.
 */
import type { Cancel, Host } from "../host.ts";
import type { Channel } from "../wire/channel.ts";
import type { WorkerMessage } from "../wire/messages.ts";
import type { Keeper } from "./keeper.ts";

/** How a run ended, for its owner. */
export interface CoordinatorEnd {
  readonly reason: "finished" | "interrupted" | "failed";
  readonly text: string;
}

/** Time for the last messages to leave before links are cut. */
const farewellMs = 3_000;
/** Time for workers to come back and be told, where the coordinator died as it was about to. */
const lingerMs = 15_000;

export interface FarewellParts {
  readonly host: Host;
  readonly keeper: Keeper;
  /** Committed rounds. */
  readonly rounds: number;
  /** Whether the journal has the end already, from a coordinator that is no more. */
  readonly isWritten: boolean;
  /** Whether workers may still come that have not heard of the end. */
  readonly lingers: boolean;
  /** The channels of everybody who has to be told. */
  channels(): readonly Channel<WorkerMessage>[];
  /** Whether all of them are closed. */
  areGone(): boolean;
  onEnd(end: CoordinatorEnd): void;
}

export class Farewell {
  readonly #parts: FarewellParts;
  #end: CoordinatorEnd;
  /** Saving, then writing the end down, then telling everybody and waiting for them to go. */
  #state: "saving" | "writing" | "leaving" | "over" = "saving";
  #cut: Cancel | null = null;

  constructor(parts: FarewellParts, end: CoordinatorEnd) {
    this.#parts = parts;
    this.#end = end;
    parts.keeper.saveModel();
    parts.keeper.saveWeights(parts.rounds, true);
    if (parts.isWritten) this.#leave();
  }

  /** Tells a worker that all is over, once that is written down. */
  tell(channel: Channel<WorkerMessage>): void {
    if (this.#state === "saving" || this.#state === "writing") return;
    const { reason, text } = this.#end;
    channel.setRate(null);
    channel.send({ type: "stop", reason, text });
    channel.close(text);
  }

  /** Goes on as far as it can. */
  advance(): void {
    const { keeper, areGone, lingers } = this.#parts;
    if (this.#state === "saving" && !keeper.isBusy) this.#writeDown();
    if (this.#state === "leaving" && !lingers && areGone()) this.#report();
  }

  #writeDown(): void {
    const { keeper, rounds, host } = this.#parts;
    const { failure } = keeper;
    if (failure !== null) this.#spoil(`cannot save ${failure}`);
    const decision = { type: "ended", ...this.#end, rounds } as const;
    this.#state = "writing";
    keeper.decide(decision, (outcome) => {
      if (!outcome.ok) this.#spoil(`cannot write down the end: ${outcome.error}`);
      host.record({ ...decision, ...this.#end });
      this.#leave();
      this.advance();
    });
  }

  #spoil(problem: string): void {
    this.#end = { reason: "failed", text: `${this.#end.text}; ${problem}` };
  }

  /** Peers close when they have read the farewell; who does not is cut off. */
  #leave(): void {
    this.#state = "leaving";
    const withinMs = this.#parts.lingers ? lingerMs : farewellMs;
    for (const channel of this.#parts.channels()) this.tell(channel);
    this.#cut = this.#parts.host.after(withinMs, () => this.#report());
  }

  #report(): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#cut?.();
    this.#parts.onEnd(this.#end);
  }
}
