/**
 * What a stage draws of its node's own samples. The first stage of a chain draws its batches, the last one their
 * labels where those stay at home, and a stage that takes columns which its node alone has draws those: all by the
 * source's name, seed and step, so that they are of the same samples.
 */
import { present } from "../../base/assert.ts";
import type { Tensor } from "../../base/tensor.ts";
import { type Port, type Program, portsOf } from "../../compile/program.ts";
import { heldOutOf } from "../../sync/transfer.ts";
import type { Done, Host } from "../host.ts";
import { spreadColumns } from "../spread-columns.ts";
import type { StageSetup } from "./stage-setup.ts";

/** The ports that a batch comes in by: features, and then what a stage after the first draws of the input itself. */
export const enteringPorts = ({ inputs }: Program): readonly Port[] => [
  ...portsOf(inputs, "feature"),
  ...portsOf(inputs, "columns"),
];

/** What a stage has drawn for a batch. */
interface OwnPart {
  /** The model's input, or the node's columns of it, where the stage takes it: one tensor at most. */
  readonly inputs: readonly Tensor[];
  /** Null where they are not for this stage to draw. */
  readonly labels: Tensor | null;
  /** Which of the node's samples they are. */
  readonly samples: readonly number[];
}

export class OwnSamples {
  readonly #setup: StageSetup;
  readonly #host: Host;
  readonly #port: Port | undefined;
  readonly #hasLabels: boolean;

  constructor(setup: StageSetup, host: Host) {
    const { programs, upstream, downstream, labelsStay } = setup;
    this.#setup = setup;
    this.#host = host;
    const { inputs } = present(programs.step ?? programs.forward, "a program that goes forward");
    [this.#port] = portsOf(inputs, upstream === null ? "feature" : "columns");
    this.#hasLabels = labelsStay ? downstream === null : upstream === null;
  }

  /** Whether the stage draws anything. */
  get isNeeded(): boolean {
    return this.#port !== undefined || this.#hasLabels;
  }

  /**
   * Gathers the samples of a step, of which each draw gives the same.
   * @param step batches that the chain's source has drawn before this one
   */
  draw(step: number, done: Done<OwnPart>): void {
    const { job, chain, exchange } = this.#setup;
    const source = present(this.#host.train, "training data of who draws from them");
    const heldOut = exchange?.plan.transfer && heldOutOf(source.samples, job.batch);
    const among = heldOut ? { among: { heldOut, isHeldOut: false } } : {};
    const key = { seed: job.seed, node: chain.source, step, size: job.batch };
    source.batch({ ...key, ...among }, (outcome) => {
      if (!outcome.ok) return done(outcome);
      const { features, labels, samples } = outcome.value;
      const inputs =
        this.#port === undefined ? [] : [spreadColumns(features, source.party, this.#port)];
      done({ ok: true, value: { inputs, labels: this.#hasLabels ? labels : null, samples } });
    });
  }
}
