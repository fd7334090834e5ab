/**
 * Ridge regression (Hoerl and Kennard, "Ridge regression: biased estimation for nonorthogonal
 * problems", 1970): the linear map from what an attacker sees to what it wants to know, learnt from
 * samples of which it knows both. It has one setting, how much weights cost, and that is chosen on a
 * fifth of those samples; so it needs no care to be an attack that works.
 *
 * Where samples are fewer than features, the system is solved in its dual form, of the size of the
 * samples. Both forms read (A + penalty I) x = b; what differs is what A, b and a query are.
 */
import {
  block,
  centred,
  columnMeans,
  innerProducts,
  type Matrix,
  matrix,
  product,
  rowOf,
  type Solver,
  shiftedSolver,
  transposed,
} from "./matrix.ts";

/** Penalties that are tried, as multiples of a sample's mean squared norm, the largest first. */
const penalties: readonly number[] = [2, 1, 0, -1, -2, -3, -4, -5, -6].map((power) => 10 ** power);
/** Share of the samples on which a penalty is chosen. */
const validationShare = 1 / 5;

/** What samples are learnt from, and for which answers are wanted. */
export interface RidgeSamples {
  /** A row for each sample of which the answer is known. */
  readonly known: Matrix;
  /** A row for each sample of which it is asked. */
  readonly asked: Matrix;
}

/** How far answers are off: smaller is better. */
export type Loss = (answers: Matrix, truth: Matrix) => number;

/** Ridge regression from features, ready to be asked for one target after the other. */
export class Ridge {
  readonly #whole: System;
  readonly #fitted: System;
  /** Samples that penalties are fitted on; the rest of the known ones are compared with. */
  readonly #fit: number;
  readonly #norm: number;

  constructor({ known, asked }: RidgeSamples) {
    // The mean is of all known samples, those of the validation too; it is no weight that could fit them.
    const means = columnMeans(known);
    const features = centred(known, means);
    this.#fit = known.rows - Math.max(1, Math.round(validationShare * known.rows));
    if (known.columns > known.rows) {
      const gram = innerProducts(features, features);
      this.#whole = dualOf(gram, innerProducts(centred(asked, means), features));
      const fitted = block(gram, 0, this.#fit, this.#fit);
      this.#fitted = dualOf(fitted, block(gram, this.#fit, known.rows, this.#fit));
    } else {
      const held = block(features, this.#fit, known.rows);
      this.#whole = primalOf(features, centred(asked, means));
      this.#fitted = primalOf(block(features, 0, this.#fit), held);
    }
    const squares = features.values.reduce((sum, value) => sum + value * value, 0);
    // Features that never move teach nothing, at any penalty above 0.
    this.#norm = squares / known.rows || 1;
  }

  /**
   * Answers for the samples that are asked of.
   * @param truth the answers of the known samples, a row for each
   * @param loss what the penalty is chosen by
   * @param proxy another form of the truth to choose it with, where the truth is large
   */
  answers(truth: Matrix, loss: Loss, proxy: Matrix = truth): Matrix {
    const means = columnMeans(truth);
    const penalty = this.#norm * this.#chosenPenalty(proxy, loss);
    return plus(answered(this.#whole, penalty, centred(truth, means)), means);
  }

  #chosenPenalty(truth: Matrix, loss: Loss): number {
    const shown = block(truth, 0, this.#fit);
    const held = block(truth, this.#fit, truth.rows);
    const means = columnMeans(shown);
    const targets = centred(shown, means);
    let [best, least] = [penalties[0] as number, Number.POSITIVE_INFINITY];
    for (const penalty of penalties) {
      const answers = plus(answered(this.#fitted, this.#norm * penalty, targets), means);
      const off = loss(answers, held);
      if (off < least) [best, least] = [penalty, off];
    }
    return best;
  }
}

/** What both forms of the regression have. */
interface System {
  /** A + penalty I, factorised. */
  solver(penalty: number): Solver;
  /** b, of targets. */
  right(targets: Matrix): Matrix;
  /** What is multiplied by x for the answers, a row for each sample. */
  readonly queries: Matrix;
}

const dualOf = (gram: Matrix, queries: Matrix): System => ({
  solver: remembered((penalty) => shiftedSolver(gram, penalty)),
  right: (targets) => targets,
  queries,
});

function primalOf(features: Matrix, queries: Matrix): System {
  const columns = transposed(features);
  const left = innerProducts(columns, columns);
  return {
    solver: remembered((penalty) => shiftedSolver(left, penalty)),
    right: (targets) => product(columns, targets),
    queries,
  };
}

/** Inputs and labels are asked for with the same penalties, and factorising takes longest. */
function remembered(make: (penalty: number) => Solver): (penalty: number) => Solver {
  const made = new Map<number, Solver>();
  return (penalty) => {
    const solver = made.get(penalty) ?? make(penalty);
    made.set(penalty, solver);
    return solver;
  };
}

const answered = ({ solver, right, queries }: System, penalty: number, targets: Matrix): Matrix =>
  product(queries, solver(penalty)(right(targets)));

function plus(a: Matrix, row: Float64Array): Matrix {
  for (let i = 0; i < a.rows; i++) {
    const to = rowOf(a, i);
    for (let j = 0; j < to.length; j++) to[j] = (to[j] as number) + (row[j] as number);
  }
  return a;
}

/** Sum of squared differences. */
export function squaredLoss(answers: Matrix, truth: Matrix): number {
  let sum = 0;
  for (let i = 0; i < truth.values.length; i++) {
    sum += ((answers.values[i] as number) - (truth.values[i] as number)) ** 2;
  }
  return sum;
}

/** Classes as rows: 1 in the place of the class, 0 elsewhere. */
export function oneHot(labels: ArrayLike<number>, classes: number): Matrix {
  const out = matrix(labels.length, classes);
  for (let i = 0; i < labels.length; i++) out.values[i * classes + (labels[i] as number)] = 1;
  return out;
}

/** The place of the largest number of each row; the first of several. */
export const largest = (a: Matrix): Int32Array =>
  Int32Array.from({ length: a.rows }, (_, i) => {
    const row = rowOf(a, i);
    return row.indexOf(Math.max(...row));
  });

/** Share of rows whose largest number is not in the right place. */
export function errorRate(answers: Matrix, truth: Matrix): number {
  const [said, right] = [largest(answers), largest(truth)];
  return said.filter((place, i) => place !== right[i]).length / truth.rows;
}
