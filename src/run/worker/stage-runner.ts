/**
 * One stage of one chain for one round: takes batches from its data or from
 * the stage before, runs the stage's programs, passes features on and gradients
 * back, and hands over its tensors when the round's work is done.
 *
 * Invariants:
 * 1. Passes are taken one at a time, in the order of the batches each way, as the schedule allows.
 * 2. Parameters change only in `update` or `step`, once for each update's batches; what a batch
 *    under way needs of an older version stays as it was.
 * 3. After `abandon` nothing is sent and no result is used.
 */
import { present } from "../../base/assert.ts";
import type { NodeId } from "../../base/ids.ts";
import { sameType, type Tensor } from "../../base/tensor.ts";
import { type Port, type Program, portOf, portsOf } from "../../compile/program.ts";
import type { EngineAnswer, Outcome } from "../host.ts";
import type { StraightTraffic } from "../metrics/record.ts";
import { staleRate, updatesMissed } from "../staleness.ts";
import type { Tensors } from "../wire/frame.ts";
import type { FeatureMessage, GradientMessage } from "../wire/messages.ts";
import { type Rejection, StageBorders } from "./border.ts";
import { contribute, type DoneCopy } from "./contribute.ts";
import type { Place } from "./copy-tensors.ts";
import { batchSlot, engineRunOf, type Pass } from "./engine-run.ts";
import { enteringPorts, OwnSamples } from "./own-samples.ts";
import { progressMs, StageAccount } from "./stage-account.ts";
import { type StageExchange, stageExchange } from "./stage-exchange.ts";
import { StageInterims } from "./stage-interims.ts";
import { mayGoForward, nextPass, type StageOrder, stageOrder } from "./stage-order.ts";
import type { StageRound, StartedRound } from "./stage-round.ts";
import type { StageSetup } from "./stage-setup.ts";
import type { StageSurroundings } from "./stage-surroundings.ts";

/** What a stage takes a batch forward with: tensors in the order of its ports. */
interface StageBatch {
  readonly features: readonly Tensor[];
  readonly labels: Tensor | null;
  /** Its samples, where it was drawn here. */
  readonly samples?: readonly number[];
}

/** What a run of a program is about. */
interface StagePass extends Pick<Pass, "from" | "to"> {
  /** The batch, counted in its round. */
  readonly step: number;
  /** Of an update: the round's where absent. */
  readonly learningRate?: number;
}

/** One round of one stage. */
export class StageRunner implements StageRound {
  readonly #setup: StageSetup;
  readonly #around: StageSurroundings;
  #order: StageOrder;
  readonly #term: number;
  readonly round: number;
  readonly #learningRate: number;
  readonly #firstStep: number;
  readonly #interims: StageInterims;
  /** Passes done each way. */
  #forward = 0;
  #backward = 0;
  /** Batches whose gradients have left, before the update that makes their pass whole. */
  #returned = 0;
  #isDrawing = false;
  #isBusy = false;
  #isGoingForward = false;
  #isAbandoned = false;
  /** What has arrived and waits for its turn, by step. */
  readonly #features = new Map<number, StageBatch>();
  readonly #gradients = new Map<number, readonly Tensor[]>();
  /** Versions that the batches under way went forward with, by step. */
  readonly #stashed = new Map<number, Place>();
  /** Batches that had come back when those under way went forward, by step. */
  readonly #backThen = new Map<number, number>();
  readonly #account = new StageAccount();
  readonly #borders: StageBorders;
  readonly #samples: OwnSamples;
  /** Its agreement with others like it; null where it has none. */
  readonly exchange: StageExchange | null;
  /** When progress was told last. */
  #toldMs: number;
  /** Whether the last batch is back, and whether what it gave is what the next round goes on from. */
  #isReading = false;
  /** Whether what was brought is without what another member of the exchange brings for all. */
  #isRest = false;
  #isSettled = false;

  constructor(setup: StageSetup, around: StageSurroundings, at: StartedRound) {
    this.#setup = setup;
    this.#borders = new StageBorders(setup);
    this.#samples = new OwnSamples(setup, around.host);
    this.#around = around;
    const order = stageOrder(setup.chain, setup.stage, setup.job.optimizer.accumulate);
    this.#order = setup.exchange?.pace ? { ...order, work: Number.POSITIVE_INFINITY } : order;
    this.#term = at.term;
    this.round = at.round;
    this.#learningRate = at.learningRate;
    this.#firstStep = at.firstStep;
    this.#interims = new StageInterims(at.interim, around.host.now());
    this.#toldMs = around.host.now();
    this.exchange = stageExchange(setup, around, at, () => this.#isAbandoned);
    if (at.isAlone === true) this.exchange?.goAlone();
  }

  get chain(): string {
    return this.#setup.chain.id;
  }

  get stage(): number {
    return this.#setup.stage;
  }

  get isSource(): boolean {
    return this.#setup.upstream === null;
  }

  /** Whether the round's work is done here, and what came of it on its way. */
  get isDone(): boolean {
    return this.#isSettled;
  }

  /** Starts the first batch where this stage is the source; otherwise features will come. */
  start(): void {
    this.exchange?.begin();
    this.#advance();
  }

  /** The chain is out of the round. */
  abandon(): void {
    this.#isAbandoned = true;
  }

  /** The coordinator is gone: what is brought is all that the copy has, once more where it was on its way. */
  goAlone(): void {
    this.exchange?.goAlone();
    if (this.#isReading && !this.#isAbandoned) this.#bring();
  }

  /** Another chain is out of the round: who exchanged with it goes on, and may be the one to bring now what all have. */
  lost(chain: string): void {
    this.exchange?.lost(chain);
    const mayBring = this.#isReading && !this.#isAbandoned;
    if (mayBring && this.#isRest && this.exchange?.isRest === false) this.#bring();
  }

  /**
   * At the source: the round is to end with the batches that have begun.
   * @returns their number, up to the end of an update
   */
  curtail(): number {
    const { accumulate, work } = this.#order;
    // Others wait for all that a member of an exchange has to share.
    if (this.exchange !== null) return this.#setup.chain.work;
    const begun = Math.max(1, this.#forward + (this.#isGoingForward ? 1 : 0));
    this.shorten(Math.min(work, Math.ceil(begun / accumulate) * accumulate));
    return this.#order.work;
  }

  /** The round has fewer batches than the plan says. */
  shorten(work: number): void {
    if (this.#isAbandoned || work >= this.#order.work) return;
    this.#order = { ...this.#order, work };
    if (this.#isBusy) return;
    if (this.#backward === work) this.#contribute();
    else this.#advance();
  }

  /** A feature from the stage before, with labels. A message of another round or step is void. */
  onFeature(message: FeatureMessage, tensors: Tensors): void {
    const { step } = message;
    const isAhead = step >= this.#returned + this.#order.sourceCapacity;
    if (!this.#isOfRound(message) || step < this.#forward || isAhead) return;
    if (this.#features.has(step)) return;
    const program = this.#setup.programs.step ?? this.#setup.programs.forward;
    const ports = portsOf(present(program, "a program that takes features").inputs, "feature");
    const features = this.#borders.decode("up", tensors, ports);
    if (!Array.isArray(features)) return this.#reject(features);
    const labels = tensors.get("labels") ?? null;
    if (!this.#samples.isNeeded) return this.#keep(step, { features, labels });
    this.#drawOwn(step, (own) => {
      this.#keep(step, { features: [...features, ...own.features], labels: own.labels ?? labels });
    });
  }

  /** A batch has come, and waits for its turn. */
  #keep(step: number, batch: StageBatch): void {
    if (step < this.#forward) return;
    this.#features.set(step, batch);
    this.#advance();
  }

  /** A gradient from the stage after. */
  onGradient(message: GradientMessage, tensors: Tensors): void {
    const { step } = message;
    const isUnderWay = step >= this.#backward && step < this.#forward;
    if (!this.#isOfRound(message) || !isUnderWay || this.#gradients.has(step)) return;
    const ports = portsOf(this.#setup.programs.backward?.inputs ?? [], "gradient");
    const gradients = this.#borders.decode("down", tensors, ports);
    if (!Array.isArray(gradients)) return this.#reject(gradients);
    this.#gradients.set(step, gradients);
    this.#advance();
  }

  #isOfRound(message: FeatureMessage | GradientMessage): boolean {
    return !this.#isAbandoned && message.term === this.#term && message.round === this.round;
  }

  /** Takes the next pass that the schedule allows, if what it needs is there. */
  #advance(): void {
    if (this.#isAbandoned) return;
    const [forward, backward] = [this.#forward, this.#backward];
    if (this.isSource && mayGoForward(this.#order, { forward, backward })) {
      this.#draw(forward);
    }
    if (this.#isBusy) return;
    const feature = this.#features.get(forward);
    const gradients = this.#gradients.get(backward);
    const pass = nextPass(this.#order, {
      forward,
      backward,
      hasFeature: feature !== undefined,
      hasGradient: gradients !== undefined,
    });
    if (pass === "forward" && feature !== undefined) {
      this.#isBusy = true;
      this.#isGoingForward = true;
      this.#features.delete(forward);
      this.#goForward(forward, feature);
    } else if (pass === "backward" && gradients !== undefined) {
      this.#isBusy = true;
      this.#gradients.delete(backward);
      this.#goBackward(backward, gradients);
    }
  }

  /** Gathers a batch at the chain's source. */
  #draw(step: number): void {
    if (this.#isDrawing || this.#features.has(step) || this.#isBusy) return;
    this.#isDrawing = true;
    this.#drawOwn(step, (batch) => {
      this.#isDrawing = false;
      this.#keep(step, batch);
    });
  }

  #drawOwn(step: number, use: (batch: StageBatch) => void): void {
    this.#samples.draw(this.#globalStep(step), (outcome) => {
      if (this.#isAbandoned) return;
      if (!outcome.ok) return this.#around.fail(outcome.error);
      const { inputs, ...drawn } = outcome.value;
      use({ features: inputs, ...drawn });
    });
  }

  /** Batches that the source has drawn before this one. */
  #globalStep(step: number): number {
    return this.#firstStep + step;
  }

  #goForward(step: number, batch: StageBatch): void {
    const { programs, downstream, tensors, chain, stage } = this.#setup;
    const place = tensors.newest;
    if (programs.step !== null) {
      return this.#lossStep(programs.step, batch, { step, from: place, to: place });
    }
    this.#backThen.set(step, this.#backward);
    const program = present(programs.forward, "a forward program");
    if (chain.stages[stage]?.backward === "stored") this.#stashed.set(step, tensors.take());
    const at = { tensors, batchPlace: this.#batchPlace(step) };
    const entering = enteringPorts(program).map(
      (port, i) => [batchSlot(at, "in", port.of), present(batch.features[i], port.of)] as const,
    );
    this.#around.host.engine.write(new Map(entering), this.#onWritten);
    this.#run(program, { step, from: place, to: place }, (answer) => {
      const ports = portsOf(program.outputs, "feature");
      const at = { step: this.#globalStep(step), samples: batch.samples ?? null };
      const out = this.#borders.encode("up", { answer, ports, ...at });
      if (batch.labels !== null) out.set("labels", batch.labels);
      this.#pass("feature", { to: present(downstream, "a stage after"), hop: 1, step }, out);
      this.#forward++;
      this.#passed("F");
    });
  }

  /** The stage that holds the loss does forward, backward and, unless gradients accumulate, update in one program. */
  #lossStep(program: Program, batch: StageBatch, pass: StagePass): void {
    const labelPort = portOf(program.inputs, "labels");
    const { labels } = batch;
    if (labels === null || !sameType(labels, labelPort)) {
      return this.#reject({ reason: "misfit", text: "labels are missing or of a wrong type" });
    }
    const given = new Map([[labelPort.name, labels]]);
    enteringPorts(program).forEach((port, i) => {
      given.set(port.name, present(batch.features[i], port.of));
    });
    const use = (answer: EngineAnswer): void => {
      const loss = present(answer.outputs.get(portOf(program.outputs, "loss").name), "loss").data;
      const lost = loss === null ? null : Number(loss[0]);
      this.#account.lost(lost);
      this.exchange?.trained(lost);
      this.#forward++;
      this.#wentBack(pass.step, answer, portsOf(program.outputs, "gradient"));
    };
    this.#run(program, pass, use, given);
  }

  #goBackward(step: number, gradients: readonly Tensor[]): void {
    const { programs, tensors } = this.#setup;
    const program = programs.backward;
    const stashed = this.#stashed.get(step);
    const place = stashed ?? tensors.newest;
    this.#stashed.delete(step);
    const use = (answer: EngineAnswer | null, ports: readonly Port[]): void => {
      if (stashed !== undefined) tensors.release(stashed);
      this.#wentBack(step, answer, ports);
    };
    // A first stage without parameters (Flatten, say) has nothing to go back through.
    if (program === null) return use(null, []);
    const given = new Map<string, Tensor>();
    portsOf(program.inputs, "gradient").forEach((port, i) => {
      given.set(port.name, present(gradients[i], port.of));
    });
    this.#run(
      program,
      { step, from: place, to: place },
      (answer) => use(answer, portsOf(program.outputs, "gradient")),
      given,
    );
  }

  /** Lets the stage before go on, also where nothing there is trained, and moves the parameters. */
  #wentBack(step: number, answer: EngineAnswer | null, ports: readonly Port[]): void {
    const { upstream, programs, tensors } = this.#setup;
    this.#returned = step + 1;
    if (upstream !== null) {
      const at = this.#globalStep(step);
      const out = answer && this.#borders.encode("down", { answer, ports, step: at });
      this.#pass("gradient", { to: upstream, hop: -1, step }, out ?? new Map());
    }
    const done = (): void => {
      this.#backward++;
      this.#passed("B");
    };
    const { update } = programs;
    const { exchange } = this;
    const learningRate = this.#rateOf(step);
    const moved = exchange === null ? done : () => exchange.afterUpdate(done);
    if ((step + 1) % this.#order.accumulate !== 0) return done();
    if (update === null) return moved();
    const move = (): void => {
      const from = tensors.newest;
      this.#run(update, { step, from, to: tensors.advance(), learningRate }, moved);
    };
    if (exchange === null) move();
    else exchange.beforeUpdate(move);
  }

  /** The learning rate of the update that a batch is the last of. */
  #rateOf(step: number): number {
    const backThen = this.#backThen.get(step) ?? step;
    this.#backThen.delete(step);
    if (this.#setup.job.staleness !== "divided") return this.#learningRate;
    const { accumulate } = this.#order;
    return staleRate(this.#learningRate, updatesMissed({ backThen, backNow: step, accumulate }));
  }

  #passed(pass: "F" | "B"): void {
    const { schedule, work } = this.#order;
    if (schedule === "window" && this.#setup.programs.step === null) this.#account.passed(pass);
    this.#isBusy = false;
    this.#isGoingForward = false;
    if (this.exchange?.isTrained ?? this.#backward === work) return this.#contribute();
    const now = this.#around.host.now();
    const interimMs = pass === "B" ? this.#interims.due(this.#backward, now) : null;
    if (interimMs !== null) this.#bring(interimMs);
    if (pass === "B" && now >= this.#toldMs + progressMs) this.#tell();
    this.#advance();
  }

  /** Says how the round goes, so that the coordinator can think again before its end. */
  #tell(): void {
    this.#toldMs = this.#around.host.now();
    const { chain, copy } = this.#setup;
    const at = { term: this.#term, round: this.round, chain: chain.id, copy };
    const { held } = this.#account;
    const ahead = this.#forward - this.#backward;
    const [straight, bytesPerMs] = [this.#straight(), this.#around.achieved()];
    this.#around.send({
      ...{ type: "progress", ...at },
      ...{ steps: this.#backward, ahead, held, straight, bytesPerMs },
    });
  }

  #contribute(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    this.#bring();
  }

  /** @param interimMs where the round goes on, the time that what is brought may take to leave */
  #bring(interimMs: number | null = null): void {
    const { chain, copy, programs, tensors, exchange, memories, ends } = this.#setup;
    const isRest = this.exchange?.isRest ?? false;
    this.#isRest = isRest;
    const done: DoneCopy = {
      ...{ copy, programs, tensors, account: this.#account, memory: memories.take(ends) },
      at: { term: this.#term, round: this.round, chain: chain.id },
      ...{ steps: this.#backward, turns: [], straight: () => this.#straight() },
      ...(exchange !== null && {
        exchange: { plan: exchange.plan, isRest, told: this.exchange?.told ?? {} },
      }),
      interimMs,
      onSettled: () => this.#settled(),
      onGone: () => this.#interims.left(),
    };
    contribute(done, this.#around, () => this.#isAbandoned);
  }

  /** What the engine holds is what the next round goes on from: a pipeline need not stand still until it is home. */
  #settled(): void {
    this.#isSettled = true;
    if (this.#order.schedule !== "serial") this.#tell();
  }

  #straight(): StraightTraffic[] {
    const { upstream, downstream, exchange } = this.#setup;
    const others = exchange?.outgoing.map(({ node }) => node) ?? [];
    return [...new Set([upstream, downstream, ...others])].flatMap((node) =>
      node === null ? [] : (this.#around.straightWith(node) ?? []),
    );
  }

  /** Runs one of the stage's programs. */
  #run(
    program: Program,
    { step, from, to, learningRate = this.#learningRate }: StagePass,
    use: (answer: EngineAnswer) => void,
    given: ReadonlyMap<string, Tensor> = new Map(),
  ): void {
    const { chain, job, tensors } = this.#setup;
    const globalStep = this.#globalStep(step);
    const run = engineRunOf(program, {
      ...{ tensors, from, to, given },
      batchPlace: this.#batchPlace(step),
      noise: { seed: job.seed, node: chain.source, step: globalStep },
      startsSum: step % job.optimizer.accumulate === 0,
      learningRate,
    });
    this.#around.compute(program, run, (outcome, busyMs) => {
      if (this.#isAbandoned) return;
      if (!outcome.ok) return this.#around.fail(outcome.error);
      this.#account.ran(program.kind, outcome.value.computeMs, busyMs);
      use(outcome.value);
    });
  }

  /** Where a batch keeps what it needs on its way back: places are used again in turn. */
  #batchPlace(step: number): number {
    return step % this.#order.capacity;
  }

  /** Gives up the chain, because of what came along it; the node and its other chains go on. */
  #reject({ reason, text }: Rejection): void {
    this.#isAbandoned = true;
    const [term, round, chain] = [this.#term, this.round, this.#setup.chain.id];
    this.#around.send({ type: "reject", term, round, chain, reason, text });
  }

  #pass(
    type: "feature" | "gradient",
    { to, hop, step }: { to: NodeId; hop: 1 | -1; step: number },
    tensors: Tensors,
  ): void {
    const { chain, stage } = this.#setup;
    this.#around.send(
      {
        type,
        to,
        term: this.#term,
        round: this.round,
        step,
        chain: chain.id,
        stage: stage + hop,
      },
      tensors,
    );
  }

  readonly #onWritten = (outcome: Outcome<null>): void => {
    if (!outcome.ok && !this.#isAbandoned) this.#around.fail(outcome.error);
  };
}
