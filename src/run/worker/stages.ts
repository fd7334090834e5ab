/**
 * The stages that a worker holds under the plan in force, and their round. What the engine holds of
 * a copy outlives the plan where the next one has the copy as well.
 */
import { present } from "../../base/assert.ts";
import { groupBy } from "../../base/group.ts";
import type { CopyId } from "../../base/ids.ts";
import type { Tensor } from "../../base/tensor.ts";
import { movedPorts, neededPorts, type Program } from "../../compile/program.ts";
import { givenKinds } from "../../plan/exchange.ts";
import type { Plan } from "../../plan/plan.ts";
import type { Slot } from "../host.ts";
import { splitMemory } from "../link-memory.ts";
import type { Tensors } from "../wire/frame.ts";
import type { BeginMessage, DataMessage } from "../wire/messages.ts";
import { LinkMemories } from "./link-memories.ts";
import { MergedRunner, mergedStages } from "./merged-runner.ts";
import type { StageRound } from "./stage-round.ts";
import { StageRunner } from "./stage-runner.ts";
import { type StagePlace, type StageSetup, stageSetups } from "./stage-setup.ts";
import type { StageSurroundings } from "./stage-surroundings.ts";

export class Stages {
  readonly #around: StageSurroundings;
  #term = -1;
  setups: readonly StageSetup[] = [];
  /** The round of each stage that something comes to from elsewhere. */
  #rounds = new Map<string, StageRound>();
  /** Who runs the round: for stages of one chain each, and for those that merge. */
  #runners: readonly StageRunner[] = [];
  #merged: readonly MergedRunner[] = [];
  readonly #memories = new LinkMemories();

  constructor(around: StageSurroundings) {
    this.#around = around;
  }

  /**
   * Takes over a plan: ends what the stages before had under way, and frees what the new ones have no use for.
   * @throws ModelError when a stage cannot be compiled; then nothing has changed
   */
  adopt(plan: Plan, place: Omit<StagePlace, "tensorsOf" | "memories">): void {
    const before = new Map(this.setups.map(({ copy, tensors }) => [copy, tensors]));
    const tensorsOf = (copy: CopyId) => before.get(copy);
    const setups = stageSetups(plan, { ...place, memories: this.#memories, tensorsOf });
    this.#leave();
    this.#retire(setups);
    this.#term = plan.term;
    this.setups = setups;
    this.#rounds = new Map();
    this.#runners = [];
    this.#merged = [];
  }

  #retire(next: readonly StageSetup[]): void {
    const needed = new Map(
      next.map(({ tensors, programs }) => [
        tensors,
        new Set(neededPorts(programs).map(({ of }) => of)),
      ]),
    );
    for (const tensors of new Set(this.setups.map((setup) => setup.tensors))) {
      for (const prefix of tensors.retire(needed.get(tensors) ?? new Set())) {
        this.#around.host.engine.drop(prefix, () => {});
      }
    }
  }

  /** All that the engine must have loaded. */
  get programs(): Program[] {
    const all = this.setups.flatMap(({ programs }) => Object.values(programs));
    return [...new Set(all.filter((program): program is Program => program !== null))];
  }

  /**
   * Makes a round ready; {@link start} begins it.
   * @param isAlone whether the coordinator is away, and copies go on with all that they have
   * @returns what to write into the engine first; the name of a tensor that is missing or of a wrong type
   */
  begin(
    message: BeginMessage,
    tensors: Tensors,
    precopied: Tensors,
    isAlone = false,
  ): Map<Slot, Tensor> | string {
    const going = new Set(message.going);
    this.#leave(going);
    const slots = new Map<Slot, Tensor>();
    const isHollow = this.#around.host.engine.isHollow === true;
    const firstOf = new Map(message.first.map(({ chain, step }) => [chain, step]));
    const ready = this.setups.filter(({ chain: { id } }) => firstOf.has(id) && !going.has(id));
    const copies = new Map(ready.map((setup) => [setup.copy, setup]));
    const awaited = new Set(message.given?.names);
    for (const { copy, tensors: own, programs, exchange } of copies.values()) {
      const isKept = message.keep.includes(copy);
      const { home = "each", every = 1 } = exchange?.plan ?? {};
      const isRenewed = home === "first" && every > 1 && !isAlone;
      const start = { isKept, isRenewed, isHollow, precopied, awaited };
      const written = own.begin(neededPorts(programs), tensors, start);
      if (typeof written === "string") return written;
      for (const [slot, value] of written) slots.set(slot, value);
    }
    const misfit = this.#remember(ready, message.remembers ?? [], tensors);
    if (misfit !== null) return misfit;
    const { term, round, learningRate, interim = null } = message;
    const firstStepOf = (chain: string): number => present(firstOf.get(chain), chain);
    const begun = ready
      .filter(({ perUpdate }) => perUpdate === null)
      .map((setup) => {
        const at = { term, round, learningRate, firstStep: firstStepOf(setup.chain.id) };
        return new StageRunner(setup, this.#around, { ...at, isAlone, interim });
      });
    this.#runners = [...this.#runners.filter(({ chain }) => going.has(chain)), ...begun];
    // Chains that share copies are never late: they are dropped, or in time.
    this.#merged = mergedStages(ready).map((setups) => {
      return new MergedRunner(setups, this.#around, { term, round, learningRate, firstStepOf });
    });
    this.#rounds = new Map(
      [...this.#runners, ...this.#merged.flatMap(({ chains }) => chains)].map((round) => [
        stageKey(round.chain, round.stage),
        round,
      ]),
    );
    return slots;
  }

  /** Chains go on with what codecs remember here, or with what has come of it. @returns the name of what does not fit */
  #remember(
    ready: readonly StageSetup[],
    kept: readonly string[],
    tensors: Tensors,
  ): string | null {
    const { memory: came } = splitMemory(tensors);
    this.#memories.retain(new Set(this.setups.map(({ chain }) => chain.id)));
    for (const [chain, setups] of groupBy(ready, ({ chain }) => chain.id)) {
      const ends = setups.flatMap((setup) => setup.ends);
      if (ends.length === 0 || kept.includes(chain)) continue;
      const rules = present(setups[0], "a stage").job;
      const misfit = this.#memories.begin(chain, { ends, rules }, came);
      if (misfit !== null) return misfit;
    }
    return null;
  }

  /** What a neighbour gives is there. @returns as `begin` does */
  fill(tensors: Tensors): ReadonlyMap<Slot, Tensor> | string {
    const own = this.setups.find(({ exchange }) => exchange !== null);
    return own?.tensors.fill(neededPorts(own.programs), tensors) ?? new Map();
  }

  /** Gives nodes what they have alike with this one, as the round begins; nothing where none of it would go straight. */
  give(
    nodes: readonly string[],
    { term, round }: BeginMessage,
    isStraight: (node: string) => boolean,
  ): void {
    const own = this.setups.find(({ exchange }) => exchange !== null);
    if (own === undefined || own.exchange === null) return;
    const at = { term, round, step: 0, chain: own.chain.id, stage: 0 };
    const send = (to: string, tensors: Tensors): void =>
      this.#around.send({ type: "state", to, ...at }, tensors);
    const straight = nodes.filter(isStraight);
    for (const node of nodes) if (!straight.includes(node)) send(node, new Map());
    if (straight.length === 0) return;
    const kinds = givenKinds(own.exchange.plan);
    const names = new Map<Slot, string>();
    for (const { of, role } of movedPorts(own.programs)) {
      const kind = role === "state" ? "state" : own.tensors.isMoved(of) ? "weight" : "statistic";
      if (kinds.includes(kind)) names.set(own.tensors.slot(of), of);
    }
    this.#around.host.engine.read([...names.keys()], (outcome) => {
      if (this.#term !== term) return;
      if (!outcome.ok) return this.#around.fail(outcome.error);
      const tensors = new Map(
        [...outcome.value].map(([slot, value]) => [names.get(slot) ?? "", value]),
      );
      for (const node of straight) send(node, tensors);
    });
  }

  /** Starts the stages whose round was made ready. */
  start(round: number): void {
    for (const runner of this.#runners) if (runner.round === round) runner.start();
  }

  /** The coordinator is gone: each brings all that it comes to, once more where it has brought it already. */
  goAlone(): void {
    for (const runner of this.#runners) runner.goAlone();
  }

  /** Ends whatever is under way. */
  abandon(): void {
    for (const runner of this.#runners) runner.abandon();
    for (const merged of this.#merged) merged.end();
  }

  /** Ends what is under way; what a round is done with is on its way home, whatever comes next. */
  #leave(going: ReadonlySet<string> = new Set()): void {
    for (const runner of this.#runners) {
      if (!going.has(runner.chain) && !runner.isDone) runner.abandon();
    }
    for (const merged of this.#merged) if (!merged.isDone) merged.end();
  }

  /** Hands a data message to its stage. */
  deliver(message: DataMessage, tensors: Tensors): void {
    if (message.type === "state") return;
    if (message.type !== "feature" && message.type !== "gradient") {
      for (const { exchange } of this.#runners) exchange?.take(message, tensors);
      return;
    }
    const round = this.#rounds.get(stageKey(message.chain, message.stage));
    if (message.type === "feature") round?.onFeature(message, tensors);
    else round?.onGradient?.(message, tensors);
  }

  /** A chain is out of a round: who is in it ends, and who exchanges with it waits no longer. */
  lose(lost: { term: number; round: number; chain: string }): void {
    for (const round of this.roundsOf(lost)) round.abandon();
    if (this.#term !== lost.term) return;
    for (const runner of this.#runners) if (runner.round === lost.round) runner.lost(lost.chain);
  }

  /** The rounds of a chain's stages, where they are of the round that is meant. */
  roundsOf({ term, round, chain }: { term: number; round: number; chain: string }): StageRound[] {
    if (this.#term !== term) return [];
    return [...this.#rounds.values()].filter((own) => own.chain === chain && own.round === round);
  }

  /** The first stage of a chain, in a round under way; undefined where it is elsewhere. */
  sourceOf(at: { term: number; round: number; chain: string }): StageRunner | undefined {
    const rounds = this.roundsOf(at);
    return this.#runners.find((runner) => runner.isSource && rounds.includes(runner));
  }
}

const stageKey = (chain: string, stage: number): string => `${stage} of ${chain}`;
