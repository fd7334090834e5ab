/** A chain as the copies see it that it shares with others (`merged-runner.ts`): what waits of it, and how far it is. */
import { present } from "../../base/assert.ts";
import type { ChainId, NodeId } from "../../base/ids.ts";
import { sameType, type Tensor } from "../../base/tensor.ts";
import {
  type Port,
  type Program,
  portOf,
  portsOf,
  type StagePrograms,
} from "../../compile/program.ts";
import type { EngineAnswer } from "../host.ts";
import type { Tensors } from "../wire/frame.ts";
import type { FeatureMessage } from "../wire/messages.ts";
import { type Rejection, StageBorders } from "./border.ts";
import type { Pass } from "./engine-run.ts";
import type { StageRound } from "./stage-round.ts";
import type { StageSetup } from "./stage-setup.ts";
import type { StageSurroundings } from "./stage-surroundings.ts";

/** A batch whose turn has not come. */
interface WaitingBatch {
  readonly features: readonly Tensor[];
  readonly labels: Tensor;
}

/** A batch whose turn it is; `step` counts in the round. */
export interface TakenBatch extends WaitingBatch {
  readonly step: number;
}

/** The round as `begin` starts it. */
export interface RoundStart {
  readonly term: number;
  readonly round: number;
  readonly learningRate: number;
  /** Batches that the source of a chain has drawn before. */
  firstStepOf(chain: string): number;
}

/** The program that takes in what comes from the chain's stage before. */
export const entryOf = ({ step, forward }: StagePrograms): Program =>
  present(step ?? forward, "a program that takes features");

/** A chain as the shared copies see it: what waits of it, and how far it is. */
export class MergedChain implements StageRound {
  readonly setups: readonly StageSetup[];
  readonly round: number;
  readonly #around: StageSurroundings;
  readonly #term: number;
  readonly #firstStep: number;
  readonly #borders: StageBorders;
  readonly #onChange: () => void;
  #waiting: WaitingBatch | null = null;
  #work: number;
  /** Batches taken, and those of them that have come back. */
  #taken = 0;
  trained = 0;
  isOut = false;

  /** @param onChange called when a batch waits, or none will any more */
  constructor(
    setups: readonly StageSetup[],
    around: StageSurroundings,
    { term, round, firstStepOf }: RoundStart,
    onChange: () => void,
  ) {
    this.setups = setups;
    this.#around = around;
    this.#term = term;
    this.round = round;
    this.#onChange = onChange;
    this.#borders = new StageBorders(this.#entry);
    this.#work = this.#entry.chain.work;
    this.#firstStep = firstStepOf(this.#entry.chain.id);
  }

  get chain(): ChainId {
    return this.#entry.chain.id;
  }

  get stage(): number {
    return this.#entry.stage;
  }

  get upstream(): NodeId {
    return present(this.#entry.upstream, "a stage before");
  }

  /** Whether all its batches of the round have come back. */
  get isTrained(): boolean {
    return this.trained >= this.#work;
  }

  /** The batch that waits, whose turn has come; null where none does. */
  take(): TakenBatch | null {
    const batch = this.#waiting;
    if (batch === null || this.isOut) return null;
    this.#waiting = null;
    return { ...batch, step: this.#taken++ };
  }

  /** The chain is out of the round: what waits of it is forgotten. */
  abandon(): void {
    this.isOut = true;
    this.#waiting = null;
    this.#onChange();
  }

  /** The round has fewer batches than the plan says. */
  shorten(work: number): void {
    this.#work = Math.min(this.#work, work);
    this.#onChange();
  }

  /** A feature from the stage before, with labels. A message of another round or step is void. */
  onFeature(message: FeatureMessage, tensors: Tensors): void {
    const { term, round, step } = message;
    const isOfRound = !this.isOut && term === this.#term && round === this.round;
    if (!isOfRound || step !== this.#taken || this.#waiting !== null) return;
    if (step > this.trained) return;
    const program = entryOf(this.#entry.programs);
    const features = this.#borders.decode("up", tensors, portsOf(program.inputs, "feature"));
    if (!Array.isArray(features)) return this.#reject(features);
    const end = present(this.setups.at(-1)?.programs.step, "a program with the loss");
    const labels = tensors.get("labels");
    if (labels === undefined || !sameType(labels, portOf(end.inputs, "labels"))) {
      return this.#reject({ reason: "misfit", text: "labels are missing or of a wrong type" });
    }
    this.#waiting = { features, labels };
    this.#onChange();
  }

  /** Lets the stage before go on, also where nothing there is trained. */
  sendBack(step: number, answer: EngineAnswer | null, ports: readonly Port[]): void {
    if (this.isOut) return;
    const at = this.noiseAt(step).step;
    const tensors =
      answer === null ? new Map() : this.#borders.encode("down", { answer, ports, step: at });
    const [term, round, chain] = [this.#term, this.round, this.chain];
    const passage = { to: this.upstream, term, round, step, chain, stage: this.stage - 1 };
    this.#around.send({ type: "gradient", ...passage }, tensors);
  }

  /** Names a batch of the round, counted from the chain's first. */
  noiseAt(step: number): Pass["noise"] {
    const { chain, job } = this.#entry;
    return { seed: job.seed, node: chain.source, step: this.#firstStep + step };
  }

  get #entry(): StageSetup {
    return present(this.setups[0], "a stage");
  }

  /** Gives up the chain, because of what came along it; the others go on. */
  #reject({ reason, text }: Rejection): void {
    const [term, round, chain] = [this.#term, this.round, this.chain];
    this.#around.send({ type: "reject", term, round, chain, reason, text });
    this.abandon();
  }
}
