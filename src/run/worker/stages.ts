/**
 * The stages that a worker holds under the plan in force, and their round. What the engine holds of
 * a copy outlives the plan where the next one has the copy as well.
 */
import type { Tensor } from "../../base/tensor.ts";
import { neededPorts, type Program } from "../../compile/program.ts";
import type { Plan } from "../../plan/plan.ts";
import type { Slot } from "../host.ts";
import type { Tensors } from "../wire/frame.ts";
import type { BeginMessage, DataMessage } from "../wire/messages.ts";
import { StageRunner } from "./stage-runner.ts";
import { type StagePlace, type StageSetup, stageSetups } from "./stage-setup.ts";
import type { StageSurroundings } from "./stage-surroundings.ts";

interface Stage {
  readonly setup: StageSetup;
  runner: StageRunner | null;
}

export class Stages {
  readonly #around: StageSurroundings;
  #term = -1;
  #stages = new Map<string, Stage>();

  constructor(around: StageSurroundings) {
    this.#around = around;
  }

  /**
   * Takes over a plan: ends what the stages before had under way, and frees what the new ones have no use for.
   * @throws ModelError when a stage cannot be compiled; then nothing has changed
   */
  adopt(plan: Plan, place: Omit<StagePlace, "tensorsOf">): void {
    const before = new Map(this.setups.map(({ copy, tensors }) => [copy, tensors]));
    const setups = stageSetups(plan, { ...place, tensorsOf: (copy) => before.get(copy) });
    this.#leave();
    this.#retire(setups);
    this.#term = plan.term;
    this.#stages = new Map(
      setups.map((setup) => [stageKey(setup.chain.id, setup.stage), { setup, runner: null }]),
    );
  }

  #retire(next: readonly StageSetup[]): void {
    const needed = new Map(
      next.map(({ tensors, programs }) => [
        tensors,
        new Set(neededPorts(programs).map(({ of }) => of)),
      ]),
    );
    for (const { tensors } of this.setups) {
      for (const prefix of tensors.retire(needed.get(tensors) ?? new Set())) {
        this.#around.host.engine.drop(prefix, () => {});
      }
    }
  }

  get setups(): StageSetup[] {
    return [...this.#stages.values()].map(({ setup }) => setup);
  }

  /** All that the engine must have loaded. */
  get programs(): Program[] {
    const all = this.setups.flatMap(({ programs }) => Object.values(programs));
    return [...new Set(all.filter((program): program is Program => program !== null))];
  }

  /**
   * Makes a round ready; {@link start} begins it.
   * @returns what to write into the engine first; the name of a tensor that is missing or of a wrong type
   */
  begin(message: BeginMessage, tensors: Tensors, precopied: Tensors): Map<Slot, Tensor> | string {
    const going = new Set(message.going);
    this.#leave(going);
    const slots = new Map<Slot, Tensor>();
    const isHollow = this.#around.host.engine.isHollow === true;
    const firstOf = new Map(message.first.map(({ chain, step }) => [chain, step]));
    for (const stage of this.#stages.values()) {
      const { setup } = stage;
      if (going.has(setup.chain.id)) continue;
      const isKept = message.keep.includes(setup.copy);
      const how = { isKept, isHollow, precopied };
      const own = setup.tensors.begin(neededPorts(setup.programs), tensors, how);
      if (typeof own === "string") return own;
      for (const [slot, value] of own) slots.set(slot, value);
      const firstStep = firstOf.get(setup.chain.id);
      if (firstStep === undefined) return `the first step of ${setup.chain.id}`;
      const { term, round, learningRate } = message;
      const at = { term, round, learningRate, firstStep };
      stage.runner = new StageRunner(setup, this.#around, at);
    }
    return slots;
  }

  /** Starts the stages whose round was made ready. */
  start(round: number): void {
    for (const { runner } of this.#stages.values()) if (runner?.round === round) runner.start();
  }

  /** Ends whatever is under way. */
  abandon(): void {
    for (const { runner } of this.#stages.values()) runner?.abandon();
  }

  /** Ends what is under way; what a round is done with is on its way home, whatever comes next. */
  #leave(going: ReadonlySet<string> = new Set()): void {
    for (const { setup, runner } of this.#stages.values()) {
      if (!going.has(setup.chain.id) && !runner?.isDone) runner?.abandon();
    }
  }

  /** Hands a data message to its stage. */
  deliver(message: DataMessage, tensors: Tensors): void {
    const runner = this.#stages.get(stageKey(message.chain, message.stage))?.runner;
    if (message.type === "feature") runner?.onFeature(message, tensors);
    else runner?.onGradient(message, tensors);
  }

  /** The runners of a chain, in a round under way. */
  runnersOf({ term, round, chain }: { term: number; round: number; chain: string }): StageRunner[] {
    if (this.#term !== term) return [];
    return [...this.#stages.values()].flatMap(({ setup, runner }) =>
      setup.chain.id === chain && runner?.round === round ? [runner] : [],
    );
  }
}

const stageKey = (chain: string, stage: number): string => `${stage} of ${chain}`;
