/**
 * One stage of one chain during one round: takes batches from its data or from
 * the stage before, runs the stage's programs, passes features on and gradients
 * back, and hands over its tensors when the round's work is done.
 *
 * Invariants:
 * 1. At most one batch is under way (serial schedule): step s+1 starts after the update of s.
 * 2. Parameters change only in `update` or `step`, once per batch.
 * 3. After `abandon` nothing is sent and no result is used.
 */
import { AssertionError, present } from "../../base/assert.ts";
import type { CopyId, NodeId } from "../../base/ids.ts";
import { sameType, type Tensor, tensor, zeros } from "../../base/tensor.ts";
import { type CodecName, codecs, fitsWire } from "../../codec/codec.ts";
import { movedPorts, type Port, type Program, type StagePrograms } from "../../compile/program.ts";
import type { ChainPlan } from "../../plan/plan.ts";
import type { EngineAnswer, EngineRun, Host, Outcome, Slot } from "../host.ts";
import type { PacedTraffic } from "../metrics/record.ts";
import { drawNoise } from "../noise.ts";
import type { Tensors } from "../wire/frame.ts";
import type { FeatureMessage, GradientMessage, JobSpec, Message } from "../wire/messages.ts";

/** What a stage is, fixed for a term. */
export interface StageSetup {
  readonly chain: ChainPlan;
  readonly stage: number;
  readonly copy: CopyId;
  readonly programs: StagePrograms;
  /** Neighbours; null at the ends of the chain. */
  readonly upstream: NodeId | null;
  readonly downstream: NodeId | null;
  /** Codec of features that arrive here and leave here, and of gradients likewise. */
  readonly codecs: {
    readonly featureIn: CodecName;
    readonly featureOut: CodecName;
    readonly gradientIn: CodecName;
    readonly gradientOut: CodecName;
  };
  readonly job: JobSpec;
  /** Name under which the source draws its batches. */
  readonly sourceName: string;
}

/** What a stage needs of its worker. */
export interface StageSurroundings {
  readonly host: Host;
  send(message: Message, tensors?: Tensors): void;
  /** Runs a program on the node's processor. */
  compute(
    program: Program,
    run: EngineRun,
    done: (outcome: Outcome<EngineAnswer>, busyMs: number) => void,
  ): void;
  /** What the node's link has carried at its pace so far. */
  paced(): PacedTraffic;
  /** The node cannot go on. */
  fail(text: string): void;
}

/** What a stage takes a step with: tensors in the order of its ports. */
interface StageBatch {
  readonly features: readonly Tensor[];
  readonly labels: Tensor | null;
}

/** One round of one stage. */
export class StageRunner {
  readonly #setup: StageSetup;
  readonly #around: StageSurroundings;
  readonly #term: number;
  readonly #round: number;
  readonly #learningRate: number;
  #step = 0;
  #isBusy = false;
  #isAbandoned = false;
  #lossSum: number | null = 0;
  #computeMs = 0;
  readonly #held = { forward: 0, backward: 0, update: 0, step: 0 };

  constructor(
    setup: StageSetup,
    around: StageSurroundings,
    at: { term: number; round: number; learningRate: number },
  ) {
    this.#setup = setup;
    this.#around = around;
    this.#term = at.term;
    this.#round = at.round;
    this.#learningRate = at.learningRate;
  }

  /** Starts the first batch where this stage is the source; otherwise features will come. */
  start(): void {
    if (this.#setup.upstream === null) this.#nextBatch();
  }

  /** The chain is out of the round. */
  abandon(): void {
    this.#isAbandoned = true;
  }

  /** A feature from the stage before, with labels. A message of another round or step is void. */
  onFeature(message: FeatureMessage, tensors: Tensors): void {
    if (!this.#expects(message) || this.#isBusy) return;
    const program = this.#setup.programs.step ?? this.#setup.programs.forward;
    const ports = portsOf(present(program, "a program that takes features").inputs, "feature");
    const features = this.#decode(this.#setup.codecs.featureIn, tensors, ports);
    if (features === null) return;
    this.#isBusy = true;
    this.#forward({ features, labels: tensors.get("labels") ?? null });
  }

  /** A gradient from the stage after. */
  onGradient(message: GradientMessage, tensors: Tensors): void {
    if (!this.#expects(message)) return;
    const { backward } = this.#setup.programs;
    // A first stage without parameters (Flatten, say) has nothing to go back through.
    if (backward === null) return this.#sendGradients(null, []);
    const ports = portsOf(backward.inputs, "gradient");
    const gradients = this.#decode(this.#setup.codecs.gradientIn, tensors, ports);
    if (gradients !== null) this.#backward(backward, gradients);
  }

  #expects(message: FeatureMessage | GradientMessage): boolean {
    return (
      !this.#isAbandoned &&
      message.term === this.#term &&
      message.round === this.#round &&
      message.step === this.#step
    );
  }

  #nextBatch(): void {
    const { job, sourceName } = this.#setup;
    const source = present(this.#around.host.train, "training data of a chain's source");
    this.#isBusy = true;
    const key = { seed: job.seed, node: sourceName, step: this.#globalStep, size: job.batch };
    source.batch(key, (outcome) => {
      if (this.#isAbandoned) return;
      if (!outcome.ok) return this.#around.fail(outcome.error);
      const { features, labels } = outcome.value;
      this.#forward({ features: [features], labels });
    });
  }

  /** Rounds have equal work under one job, so the step number is a function of round and step. */
  get #globalStep(): number {
    return this.#round * this.#setup.chain.work + this.#step;
  }

  #forward(batch: StageBatch): void {
    const { programs, codecs, downstream } = this.#setup;
    if (programs.step !== null) return this.#lossStep(programs.step, batch);
    const program = present(programs.forward, "a forward program");
    const entering = portsOf(program.inputs, "feature").map(
      (port, i) => [this.#slot("in", port.of), present(batch.features[i], port.of)] as const,
    );
    this.#around.host.engine.write(new Map(entering), this.#onWritten);
    this.#run(program, (answer) => {
      const out = this.#encode(codecs.featureOut, answer, portsOf(program.outputs, "feature"));
      if (batch.labels !== null) out.set("labels", batch.labels);
      this.#pass("feature", present(downstream, "a stage after"), 1, out);
    });
  }

  /** The stage that holds the loss does forward, backward and, unless gradients accumulate, update in one program. */
  #lossStep(program: Program, batch: StageBatch): void {
    const labelPort = portOf(program.inputs, "labels");
    const { labels } = batch;
    if (labels === null || !sameType(labels, labelPort)) {
      return this.#reject("labels are missing or of a wrong type");
    }
    const given = new Map([[labelPort.name, labels]]);
    portsOf(program.inputs, "feature").forEach((port, i) => {
      given.set(port.name, present(batch.features[i], port.of));
    });
    this.#run(
      program,
      (answer) => {
        const loss = present(answer.outputs.get(portOf(program.outputs, "loss").name), "loss").data;
        this.#lossSum =
          this.#lossSum === null || loss === null ? null : this.#lossSum + Number(loss[0]);
        this.#sendGradients(answer, portsOf(program.outputs, "gradient"));
      },
      given,
    );
  }

  #backward(program: Program, gradients: readonly Tensor[]): void {
    const given = new Map<string, Tensor>();
    portsOf(program.inputs, "gradient").forEach((port, i) => {
      given.set(port.name, present(gradients[i], port.of));
    });
    this.#run(
      program,
      (answer) => this.#sendGradients(answer, portsOf(program.outputs, "gradient")),
      given,
    );
  }

  /** Lets the stage before go on, also where nothing there is trained, and moves the parameters. */
  #sendGradients(answer: EngineAnswer | null, ports: readonly Port[]): void {
    const { upstream, codecs, programs, job } = this.#setup;
    if (upstream !== null) {
      const out = answer === null ? new Map() : this.#encode(codecs.gradientOut, answer, ports);
      this.#pass("gradient", upstream, -1, out);
    }
    const isLast = (this.#globalStep + 1) % job.optimizer.accumulate === 0;
    if (programs.update === null || !isLast) this.#stepDone();
    else this.#run(programs.update, () => this.#stepDone());
  }

  #stepDone(): void {
    this.#isBusy = false;
    this.#step++;
    if (this.#step === this.#setup.chain.work) this.#contribute();
    else if (this.#setup.upstream === null) this.#nextBatch();
  }

  #contribute(): void {
    const { chain, copy, programs } = this.#setup;
    const tensors = new Map<Slot, string>();
    for (const port of movedPorts(programs)) tensors.set(copySlot(copy, port.of), port.of);
    this.#around.host.engine.read([...tensors.keys()], (outcome) => {
      if (this.#isAbandoned) return;
      if (!outcome.ok) return this.#around.fail(outcome.error);
      const named = new Map<string, Tensor>();
      for (const [slot, value] of outcome.value) named.set(present(tensors.get(slot), slot), value);
      const loss =
        programs.step === null || this.#lossSum === null ? null : this.#lossSum / this.#step;
      this.#around.send(
        {
          type: "contribution",
          id: `${this.#term}/${this.#round}/${copy}`,
          term: this.#term,
          round: this.#round,
          chain: chain.id,
          copy,
          loss,
          steps: this.#step,
          computeMs: this.#computeMs,
          held: { ...this.#held },
          paced: this.#around.paced(),
          peakRssBytes: this.#around.host.peakMemoryBytes(),
        },
        named,
      );
    });
  }

  /**
   * Runs one of the stage's programs: trained tensors, saved activations and
   * gradients of parameters stay in slots; what crosses a border is handed back.
   */
  #run(
    program: Program,
    use: (answer: EngineAnswer) => void,
    given: ReadonlyMap<string, Tensor> = new Map(),
  ): void {
    const feeds = new Map<string, Slot | Tensor>();
    for (const port of program.inputs) {
      const value = given.get(port.name);
      if (value !== undefined) feeds.set(port.name, value);
      else if (port.role === "learningRate") feeds.set(port.name, scalar(this.#learningRate));
      else if (port.role === "noise") feeds.set(port.name, this.#noise(port));
      else if (this.#startsSum(program, port)) feeds.set(port.name, zeros(port));
      else feeds.set(port.name, this.#slotOf(port));
    }
    const keep = new Map<string, Slot>();
    const fetch: string[] = [];
    for (const port of program.outputs) {
      if (stays.has(port.role)) keep.set(port.name, this.#slotOf(port));
      else fetch.push(port.name);
    }
    this.#around.compute(
      program,
      { program: program.id, feeds, keep, fetch },
      (outcome, busyMs) => {
        if (this.#isAbandoned) return;
        if (!outcome.ok) return this.#around.fail(outcome.error);
        this.#computeMs += outcome.value.computeMs;
        if (program.kind !== "evaluate") this.#held[program.kind] += busyMs;
        use(outcome.value);
      },
    );
  }

  #noise(port: Port): Tensor {
    const { chain, job } = this.#setup;
    const { seed } = job;
    return drawNoise(port, { seed, node: chain.source, step: this.#globalStep, of: port.of });
  }

  /** Sums of gradients start from zeros with the first micro-batch. */
  #startsSum(program: Program, { role }: Port): boolean {
    if (role !== "parameterGradient" || program.kind === "update") return false;
    return this.#globalStep % this.#setup.job.optimizer.accumulate === 0;
  }

  #slotOf(port: Port): Slot {
    switch (port.role) {
      case "parameter":
      case "state":
        return copySlot(this.#setup.copy, port.of);
      case "saved":
      case "parameterGradient":
        return this.#slot(port.role, port.of);
      case "feature":
        return this.#slot("in", port.of);
      default:
        throw new AssertionError(`a port of role ${port.role} has no slot`);
    }
  }

  #slot(space: string, of: string): Slot {
    return `${stageSlotPrefix}${this.#setup.copy}|${space}|${of}`;
  }

  /** What crosses a border, in the order of the ports: "0.0" is the first part of the first tensor. */
  #encode(codec: CodecName, answer: EngineAnswer, ports: readonly Port[]): Map<string, Tensor> {
    const out = new Map<string, Tensor>();
    ports.forEach(({ name }, i) => {
      const parts = codecs[codec].encode(present(answer.outputs.get(name), name));
      parts.forEach((part, k) => {
        out.set(`${i}.${k}`, part);
      });
    });
    return out;
  }

  /** Gives up the chain, because of what came along it; the node and its other chains go on. */
  #reject(text: string): void {
    this.#isAbandoned = true;
    const chain = this.#setup.chain.id;
    this.#around.send({ type: "reject", term: this.#term, round: this.#round, chain, text });
  }

  /** Decodes received parts; what does not fit the ports ends the chain's round. */
  #decode(codec: CodecName, tensors: Tensors, ports: readonly Port[]): Tensor[] | null {
    const values: Tensor[] = [];
    for (const [i, port] of ports.entries()) {
      const parts: Tensor[] = [];
      for (let part = tensors.get(`${i}.0`); part !== undefined; ) {
        parts.push(part);
        part = tensors.get(`${i}.${parts.length}`);
      }
      if (!fitsWire(codec, parts, port)) {
        this.#reject(`a ${port.role} does not fit the stage it was sent to`);
        return null;
      }
      values.push(codecs[codec].decode(parts, port));
    }
    return values;
  }

  #pass(type: "feature" | "gradient", to: NodeId, hop: 1 | -1, tensors: Tensors): void {
    this.#around.send(
      {
        type,
        to,
        term: this.#term,
        round: this.#round,
        step: this.#step,
        chain: this.#setup.chain.id,
        stage: this.#setup.stage + hop,
      },
      tensors,
    );
  }

  readonly #onWritten = (outcome: Outcome<null>): void => {
    if (!outcome.ok && !this.#isAbandoned) this.#around.fail(outcome.error);
  };
}

/** Roles of outputs that stay in the engine. */
const stays: ReadonlySet<Port["role"]> = new Set([
  "parameter",
  "state",
  "saved",
  "parameterGradient",
]);

/** A fresh one each time: engines take over the memory of what they are fed. */
const scalar = (value: number): Tensor => tensor("float32", [], Float32Array.of(value));

/** Every slot of a stage starts with this, so that a change of plan can drop them all. */
export const stageSlotPrefix = "stage|";

/** The slot of a copy's trained tensor. */
export const copySlot = (copy: CopyId, name: string): Slot =>
  `${stageSlotPrefix}${copy}|trained|${name}`;

const portsOf = (ports: readonly Port[], role: Port["role"]): Port[] =>
  ports.filter((port) => port.role === role);

function portOf(ports: readonly Port[], role: Port["role"]): Port {
  return present(
    ports.find((port) => port.role === role),
    `a port of role ${role}`,
  );
}
