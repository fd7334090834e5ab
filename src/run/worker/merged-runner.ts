/**
 * A round of the copies that several chains share on this node (SplitFed v2; Thapa et al., "SplitFed",
 * AAAI 2022, algorithm 2): one runner for all stages that merge into one end. Chains may come in at different copies,
 * as their cuts differ; from there on a batch goes to the loss and back without leaving the engine.
 *
 * Gradients of batches are summed as they come, and each copy's parameters move by the mean of `perUpdate` of
 * them, whichever chains they are of (feature merging: Liao et al., "MergeSFL", ICDE 2024). So nobody waits
 * for another chain's batch, a chain that is lost holds nobody up, and the memory that is taken is that of one batch.
 *
 * Invariants:
 * 1. One batch at a time is between its first forward pass here and its way back.
 * 2. Chains take turns: while a batch waits, every other chain goes before it once at most.
 * 3. A batch whose turn has come is trained to the end, whatever becomes of its chain meanwhile: so
 *    whose batches moved the parameters follows from the turns alone.
 * 4. A chain has one batch waiting at most, since its schedule is serial.
 * 5. After `end` nothing is sent.
 */
import { present } from "../../base/assert.ts";
import { groupBy } from "../../base/group.ts";
import type { CopyId } from "../../base/ids.ts";
import type { Tensor } from "../../base/tensor.ts";
import { type Program, portOf, portsOf, type StagePrograms } from "../../compile/program.ts";
import type { EngineAnswer, EngineRun, Outcome, Slot } from "../host.ts";
import type { StraightTraffic } from "../metrics/record.ts";
import { contribute } from "./contribute.ts";
import type { CopyTensors } from "./copy-tensors.ts";
import { engineRunOf, type Pass } from "./engine-run.ts";
import { entryOf, MergedChain, type RoundStart, type TakenBatch } from "./merged-chain.ts";
import { progressMs, StageAccount } from "./stage-account.ts";
import type { StageSetup } from "./stage-setup.ts";
import type { StageSurroundings } from "./stage-surroundings.ts";

/** A shared copy in its round. */
interface MergedCopy {
  readonly copy: CopyId;
  readonly programs: StagePrograms;
  readonly tensors: CopyTensors;
  /** Batches to an update. */
  readonly perUpdate: number;
  readonly account: StageAccount;
  /** Batches trained. */
  trained: number;
}

/** Stages that merge, by the copy at the end of their chains. */
export function mergedStages(setups: readonly StageSetup[]): StageSetup[][] {
  const merging = setups.filter(({ perUpdate }) => perUpdate !== null);
  const endOf = ({ chain }: StageSetup): CopyId =>
    present(chain.stages.at(-1), "a chain's end").copy;
  return [...groupBy(merging, endOf).values()];
}

/** One round of the stages that merge into one copy. */
export class MergedRunner {
  readonly round: number;
  readonly chains: readonly MergedChain[];
  readonly #around: StageSurroundings;
  readonly #at: RoundStart;
  readonly #copies: ReadonlyMap<CopyId, MergedCopy>;
  /** Whose batches were taken, by place among the chains. */
  readonly #turns: number[] = [];
  /** The chain after which turns go on. */
  #last = -1;
  #isBusy = false;
  #isEnded = false;
  #isFinishing = false;
  /** When progress was told last. */
  #toldMs: number;
  /** Copies whose round's work is done: what the engine holds of them is what the next round goes on from. */
  #settled = 0;

  /** @param setups all stages that merge into one copy, in the order of the plan's chains and of their stages */
  constructor(setups: readonly StageSetup[], around: StageSurroundings, at: RoundStart) {
    this.#around = around;
    this.#at = at;
    this.round = at.round;
    this.#toldMs = around.host.now();
    this.#copies = new Map(
      setups.map(({ copy, programs, tensors, perUpdate }) => [
        copy,
        {
          ...{ copy, programs, tensors, perUpdate: present(perUpdate, "batches to an update") },
          ...{ account: new StageAccount(), trained: 0 },
        },
      ]),
    );
    const byChain = groupBy(setups, ({ chain }) => chain.id);
    const onChange = (): void => this.#advance();
    this.chains = [...byChain.values()].map((own) => new MergedChain(own, around, at, onChange));
  }

  /** Whether the round's work is done here, and what came of it on its way. */
  get isDone(): boolean {
    return this.#settled === this.#copies.size;
  }

  /** The round is over, whatever has become of it. */
  end(): void {
    this.#isEnded = true;
    for (const chain of this.chains) chain.isOut = true;
  }

  /** Takes the batch whose turn it is, or ends the round's work where none will come any more. */
  #advance(): void {
    if (this.#isBusy || this.#isEnded || this.#isFinishing) return;
    const { chains } = this;
    for (let i = 1; i <= chains.length; i++) {
      const place = (this.#last + i) % chains.length;
      const chain = present(chains[place], "a chain");
      const batch = chain.take();
      if (batch === null) continue;
      this.#last = place;
      this.#turns.push(place);
      this.#isBusy = true;
      return this.#train(chain, batch);
    }
    const isOver = chains.every(({ isOut, isTrained }) => isOut || isTrained);
    // Where all chains are lost, so is the round.
    if (isOver && chains.some(({ isOut }) => !isOut)) this.#finish();
  }

  /** One batch through all its copies, to the loss and back. */
  #train(chain: MergedChain, { step, features, labels }: TakenBatch): void {
    const copies = chain.setups.map(({ copy }) => present(this.#copies.get(copy), copy));
    const batch: BatchPass = { chain, step, noise: chain.noiseAt(step), runs: [] };
    const slots = [this.#enter(present(copies[0], "a copy"), features)];
    for (const [i, copy] of copies.slice(0, -1).entries()) {
      const own = present(slots[i], "features");
      slots.push(this.#goForward(batch, copy, own, present(copies[i + 1], "the copy after")));
    }
    let back: Slots | null = null;
    for (let i = copies.length - 1; i >= 0 && (back !== null || i === copies.length - 1); i--) {
      const at = { features: present(slots[i], "features"), before: copies[i - 1] ?? null };
      const copy = present(copies[i], "a copy");
      back =
        back === null
          ? this.#lossStep(batch, copy, at, labels)
          : this.#goBack(batch, copy, at, back);
    }
    // Nothing is trained before such a copy; the chain goes on all the same.
    if (back === null) chain.sendBack(step, null, []);
    for (const copy of copies) {
      copy.trained++;
      if (copy.trained % copy.perUpdate === 0) this.#update(copy, copy.perUpdate, batch);
    }
    this.#runNext(batch);
  }

  /** @returns where the features are */
  #enter({ programs, tensors }: MergedCopy, features: readonly Tensor[]): Slots {
    const slots = new Map<string, Slot>();
    const entering = new Map<Slot, Tensor>();
    portsOf(entryOf(programs).inputs, "feature").forEach((port, i) => {
      const slot = tensors.spaceSlot("in", 0, port.of);
      slots.set(port.of, slot);
      entering.set(slot, present(features[i], port.of));
    });
    this.#around.host.engine.write(entering, this.#onWritten);
    return slots;
  }

  /** @returns where the next copy finds its features */
  #goForward(batch: BatchPass, copy: MergedCopy, features: Slots, next: MergedCopy): Slots {
    const program = present(copy.programs.forward, "a forward program");
    const kept = portsOf(program.outputs, "feature").map(
      ({ name }) => [name, next.tensors.spaceSlot("in", 0, name)] as const,
    );
    const given = slotsFor(program, "feature", features);
    const run = this.#run(batch, copy, program, { given, kept: new Map(kept) });
    return slotsOf(program, "feature", run);
  }

  /** @returns where the copy before finds its gradients */
  #lossStep(
    batch: BatchPass,
    copy: MergedCopy,
    { features, before }: OnTheWay,
    labels: Tensor,
  ): Slots {
    const program = present(copy.programs.step, "a program with the loss");
    const given = new Map<string, Tensor | Slot>(slotsFor(program, "feature", features));
    given.set(portOf(program.inputs, "labels").name, labels);
    const loss = portOf(program.outputs, "loss").name;
    const run = this.#run(
      batch,
      copy,
      program,
      { given, ...leaving(program, before) },
      (answer) => {
        const { data } = present(answer.outputs.get(loss), "loss");
        copy.account.lost(data === null ? null : Number(data[0]));
        if (before === null) this.#sendBack(batch, program, answer);
      },
    );
    return slotsOf(program, "gradient", run);
  }

  /** @returns where the copy before finds its gradients; null where this one has nothing to go back through */
  #goBack(
    batch: BatchPass,
    copy: MergedCopy,
    { features, before }: OnTheWay,
    gradients: Slots,
  ): Slots | null {
    const program = copy.programs.backward;
    if (program === null) return null;
    const own = slotsFor(program, "feature", features);
    const given = new Map([...own, ...slotsFor(program, "gradient", gradients)]);
    const run = this.#run(
      batch,
      copy,
      program,
      { given, ...leaving(program, before) },
      (answer) => {
        if (before === null) this.#sendBack(batch, program, answer);
      },
    );
    return slotsOf(program, "gradient", run);
  }

  #sendBack({ chain, step }: BatchPass, program: Program, answer: EngineAnswer): void {
    chain.sendBack(step, answer, portsOf(program.outputs, "gradient"));
  }

  /** Moves a copy's parameters by the mean gradient of so many batches. */
  #update(copy: MergedCopy, summed: number, batch: BatchPass): void {
    const { update } = copy.programs;
    if (update !== null) this.#run(batch, copy, update, { summed });
  }

  /** Adds a run to those of a batch. */
  #run(
    batch: BatchPass,
    copy: MergedCopy,
    program: Program,
    more: Partial<Pass>,
    use: (answer: EngineAnswer) => void = () => {},
  ): EngineRun {
    const { tensors, account, trained, perUpdate } = copy;
    const from = tensors.newest;
    const to = program.kind === "update" ? tensors.advance() : from;
    const run = engineRunOf(program, {
      ...{ tensors, from, to, batchPlace: 0, given: new Map() },
      noise: batch.noise,
      startsSum: trained % perUpdate === 0,
      learningRate: this.#at.learningRate,
      ...more,
    });
    batch.runs.push(() => {
      this.#around.compute(program, run, (outcome, busyMs) => {
        if (this.#isEnded) return;
        if (!outcome.ok) return this.#around.fail(outcome.error);
        account.ran(program.kind, outcome.value.computeMs, busyMs);
        use(outcome.value);
        this.#runNext(batch);
      });
    });
    return run;
  }

  /** A run finds what the one before has left. */
  #runNext(batch: BatchPass): void {
    const next = batch.runs.shift();
    if (next === undefined) this.#passed(batch);
    else next();
  }

  #passed({ chain }: BatchPass): void {
    this.#isBusy = false;
    if (this.#isFinishing) return this.#contribute();
    chain.trained++;
    if (this.#around.host.now() >= this.#toldMs + progressMs) this.#tell();
    this.#advance();
  }

  /** Says how the round goes: a server that others use as well becomes slow within a round, too. */
  #tell(): void {
    this.#toldMs = this.#around.host.now();
    const { term, round } = this.#at;
    const bytesPerMs = this.#around.achieved();
    for (const copy of this.#copies.values()) {
      const at = { term, round, chain: this.#chainOf(copy).chain, copy: copy.copy };
      const { held } = copy.account;
      const straight = this.#straightOf(copy);
      const told = { steps: copy.trained, ahead: 0, held, straight, bytesPerMs };
      this.#around.send({ type: "progress", ...at, ...told });
    }
  }

  /** The last gradients, too few for an update of their own, move the parameters by their mean. */
  #finish(): void {
    this.#isFinishing = true;
    const [first] = this.chains;
    const batch = { chain: present(first, "a chain"), step: 0, noise: noNoise, runs: [] };
    for (const copy of this.#copies.values()) {
      const rest = copy.trained % copy.perUpdate;
      if (rest > 0) this.#update(copy, rest, batch);
    }
    this.#runNext(batch);
  }

  #contribute(): void {
    const { term, round } = this.#at;
    for (const copy of this.#copies.values()) {
      const isEnd = copy.programs.step !== null;
      const done = {
        ...{ ...copy, steps: copy.trained, turns: isEnd ? this.#turns : [] },
        at: { term, round, chain: this.#chainOf(copy).chain },
        straight: () => this.#straightOf(copy),
        onSettled: () => {
          this.#settled++;
        },
      };
      contribute(done, this.#around, () => this.#isEnded);
    }
  }

  /** A chain of a copy: the first, which names what the copy brings. */
  #chainOf({ copy }: MergedCopy): MergedChain {
    const chain = this.chains.find(({ setups }) => setups.some((setup) => setup.copy === copy));
    return present(chain, "a chain of a shared copy");
  }

  /** Of those who come in here, told with the last copy: what has gone straight to and from each. */
  #straightOf({ programs }: MergedCopy): StraightTraffic[] {
    if (programs.step === null) return [];
    const nodes = new Set(this.chains.flatMap(({ upstream }) => upstream));
    return [...nodes].flatMap((node) => this.#around.straightWith(node) ?? []);
  }

  readonly #onWritten = (outcome: Outcome<null>): void => {
    if (!outcome.ok && !this.#isEnded) this.#around.fail(outcome.error);
  };
}

/** What is under way of one batch. */
interface BatchPass {
  readonly chain: MergedChain;
  readonly step: number;
  readonly noise: Pass["noise"];
  /** Runs that have not begun, in their order. */
  readonly runs: (() => void)[];
}

/** Updates take none. */
const noNoise: Pass["noise"] = { seed: 0, node: "", step: 0 };

/** Where in the engine what crosses a border is, by its name in the model. */
type Slots = ReadonlyMap<string, Slot>;

/** What a copy went forward with, and the copy that its gradients go to; null where they leave. */
interface OnTheWay {
  readonly features: Slots;
  readonly before: MergedCopy | null;
}

/** Slots of a program's inputs of a role, by their ports. */
const slotsFor = (program: Program, role: "feature" | "gradient", slots: Slots): Slots =>
  new Map(portsOf(program.inputs, role).map(({ name, of }) => [name, present(slots.get(of), of)]));

/** Where a run leaves a program's outputs of a role. */
const slotsOf = (program: Program, role: "feature" | "gradient", { keep }: EngineRun): Slots =>
  new Map(
    portsOf(program.outputs, role).flatMap(({ name, of }) => {
      const slot = keep.get(name);
      return slot === undefined ? [] : [[of, slot] as const];
    }),
  );

/** Gradients stay in the engine for the copy before. */
function leaving(program: Program, before: MergedCopy | null): Pick<Pass, "kept"> {
  if (before === null) return {};
  const ports = portsOf(program.outputs, "gradient");
  return {
    kept: new Map(ports.map(({ name }) => [name, before.tensors.spaceSlot("gradient", 0, name)])),
  };
}
