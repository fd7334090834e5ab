/**
 * The little linear algebra that an audit needs: products of dense matrices in float64, and systems
 * that are symmetric and positive definite. Own code instead of a library: ml-matrix, the best kept
 * one, takes seven times as long for the products that nearly all of an audit's time goes into.
 *
 * All loops run along rows, because rows lie together in memory.
 */
import { assert } from "../base/assert.ts";

/** Numbers in rows, one row after the other. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly values: Float64Array;
}

/** A matrix of zeros, or of the values given. */
export function matrix(
  rows: number,
  columns: number,
  values: Float64Array = new Float64Array(rows * columns),
): Matrix {
  assert(values.length === rows * columns, `${values.length} values for ${rows} x ${columns}`);
  return { rows, columns, values };
}

/** A row, without copying. */
export const rowOf = ({ values, columns }: Matrix, row: number): Float64Array =>
  values.subarray(row * columns, (row + 1) * columns);

/** A copy of rows [from, to), and of their first `columns` columns. */
export function block(a: Matrix, from: number, to: number, columns = a.columns): Matrix {
  const out = matrix(to - from, columns);
  for (let i = from; i < to; i++) {
    out.values.set(rowOf(a, i).subarray(0, columns), (i - from) * columns);
  }
  return out;
}

export function transposed(a: Matrix): Matrix {
  const out = matrix(a.columns, a.rows);
  for (let i = 0; i < a.rows; i++) {
    for (let j = 0; j < a.columns; j++) {
      out.values[j * a.rows + i] = a.values[i * a.columns + j] as number;
    }
  }
  return out;
}

/** Mean of each column. */
export function columnMeans(a: Matrix): Float64Array {
  const means = new Float64Array(a.columns);
  for (let i = 0; i < a.rows; i++) addScaled(means, 1 / a.rows, rowOf(a, i));
  return means;
}

/** A copy with a number for each column subtracted. */
export function centred(a: Matrix, means: Float64Array): Matrix {
  const out = matrix(a.rows, a.columns, a.values.slice());
  for (let i = 0; i < a.rows; i++) addScaled(rowOf(out, i), -1, means);
  return out;
}

/** `a` times the transpose of `b`: the inner product of each row of the one with each of the other. */
export function innerProducts(a: Matrix, b: Matrix): Matrix {
  assert(a.columns === b.columns, `rows of ${a.columns} with rows of ${b.columns}`);
  const out = matrix(a.rows, b.rows);
  for (let i = 0; i < a.rows; i += 4) {
    const to = a === b ? Math.min(i + 4, b.rows) : b.rows;
    for (let j = 0; j < to; j++) fourInnerProducts(a, i, b, j, out);
  }
  if (a !== b) return out;
  for (let i = 0; i < a.rows; i++) {
    for (let j = i + 1; j < a.rows; j++) {
      out.values[i * a.rows + j] = out.values[j * a.rows + i] as number;
    }
  }
  return out;
}

/**
 * Inner products of rows i to i + 3 of `a`, as far as there are any, with row j of `b`, into column j of
 * `out`: each number of `b` is read once for all of them.
 * @param length of the rows, as far as they count
 */
function fourInnerProducts(
  a: Matrix,
  i: number,
  b: Matrix,
  j: number,
  out: Matrix,
  length = a.columns,
): void {
  const n = a.columns;
  const last = a.rows - 1;
  const [x, y] = [a.values, b.values];
  const [p, q, r, s] = [i, Math.min(i + 1, last), Math.min(i + 2, last), Math.min(i + 3, last)];
  const [pn, qn, rn, sn, jn] = [p * n, q * n, r * n, s * n, j * b.columns];
  let [sum0, sum1, sum2, sum3] = [0, 0, 0, 0];
  for (let k = 0; k < length; k++) {
    const value = y[jn + k] as number;
    sum0 += (x[pn + k] as number) * value;
    sum1 += (x[qn + k] as number) * value;
    sum2 += (x[rn + k] as number) * value;
    sum3 += (x[sn + k] as number) * value;
  }
  out.values[p * out.columns + j] = sum0;
  out.values[q * out.columns + j] = sum1;
  out.values[r * out.columns + j] = sum2;
  out.values[s * out.columns + j] = sum3;
}

export function product(a: Matrix, b: Matrix): Matrix {
  assert(a.columns === b.rows, `${a.columns} columns times ${b.rows} rows`);
  const out = matrix(a.rows, b.columns);
  for (let i = 0; i < a.rows; i++) addRows(rowOf(out, i), rowOf(a, i), b, 1);
  return out;
}

/** A system that has been factorised, to be solved for any right side. */
export type Solver = (right: Matrix) => Matrix;

/**
 * Solves (a + shift I) x = right by Cholesky's factorisation, which is done once.
 * @param a symmetric and positive semidefinite; only its lower half is read
 * @param shift above 0, so that the sum is definite
 */
export function shiftedSolver(a: Matrix, shift: number): Solver {
  const lower = cholesky(a, shift);
  const upper = transposed(lower);
  return (right) => {
    const x = matrix(right.rows, right.columns, right.values.slice());
    for (let i = 0; i < x.rows; i++) {
      const known = rowOf(lower, i);
      addRows(rowOf(x, i), known.subarray(0, i), x, -1);
      scale(rowOf(x, i), 1 / (known[i] as number));
    }
    for (let i = x.rows - 1; i >= 0; i--) {
      const known = rowOf(upper, i);
      const values = x.values.subarray((i + 1) * x.columns);
      const below = { rows: x.rows - i - 1, columns: x.columns, values };
      addRows(rowOf(x, i), known.subarray(i + 1), below, -1);
      scale(rowOf(x, i), 1 / (known[i] as number));
    }
    return x;
  };
}

/** The lower triangular L with L times its transpose equal to a + shift I, four rows at a time. */
function cholesky(a: Matrix, shift: number): Matrix {
  const n = a.rows;
  const lower = matrix(n, n);
  const { values } = lower;
  for (let first = 0; first < n; first += 4) {
    const end = Math.min(first + 4, n);
    for (let j = 0; j < end; j++) {
      // Of column j no row has been written that the products read: they end before it.
      fourInnerProducts(lower, first, lower, j, lower, j);
      if (j >= first) {
        const square = (a.values[j * n + j] as number) + shift - (values[j * n + j] as number);
        assert(square > 0, `row ${j} of a system that is not positive definite`);
        values[j * n + j] = Math.sqrt(square);
      }
      const root = values[j * n + j] as number;
      for (let i = first; i < end; i++) {
        const at = i * n + j;
        // Above the diagonal is nothing.
        if (i < j) values[at] = 0;
        else if (i > j) values[at] = ((a.values[at] as number) - (values[at] as number)) / root;
      }
    }
  }
  return lower;
}

/** Adds to `to` the first rows of `b`, each times its coefficient times `sign`, four at once. */
function addRows(to: Float64Array, coefficients: Float64Array, b: Matrix, sign: 1 | -1): void {
  const n = b.columns;
  const { values } = b;
  let k = 0;
  for (; k + 3 < coefficients.length; k += 4) {
    const c0 = sign * (coefficients[k] as number);
    const c1 = sign * (coefficients[k + 1] as number);
    const c2 = sign * (coefficients[k + 2] as number);
    const c3 = sign * (coefficients[k + 3] as number);
    const at = k * n;
    for (let j = 0; j < n; j++) {
      to[j] =
        (to[j] as number) +
        c0 * (values[at + j] as number) +
        c1 * (values[at + n + j] as number) +
        c2 * (values[at + 2 * n + j] as number) +
        c3 * (values[at + 3 * n + j] as number);
    }
  }
  for (; k < coefficients.length; k++) {
    addScaled(to, sign * (coefficients[k] as number), rowOf(b, k));
  }
}

function addScaled(to: Float64Array, factor: number, from: Float64Array): void {
  for (let k = 0; k < to.length; k++) to[k] = (to[k] as number) + factor * (from[k] as number);
}

function scale(values: Float64Array, factor: number): void {
  for (let k = 0; k < values.length; k++) values[k] = (values[k] as number) * factor;
}
