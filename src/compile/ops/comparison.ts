/** Comparisons and logic: operators whose outputs are true or false and have no gradient. */
import type { TensorType } from "../../base/tensor.ts";
import { flag, type NoAttributes, noAttributes, readAttributes } from "./attributes.ts";
import { requireDType, requireFloat } from "./inputs.ts";
import { binary, commonType, unaryWith } from "./pointwise.ts";
import type { OpRule } from "./rule.ts";

const truth = "its output is true or false and has no gradient";

const compared = (holds: (a: number, b: number) => boolean): OpRule<NoAttributes> =>
  binary(
    (a, b) => (holds(a, b) ? 1 : 0),
    truth,
    (a, b) => {
      commonType(a, b);
      return "bool";
    },
  );

const Equal = compared((a, b) => a === b);
const Greater = compared((a, b) => a > b);
const GreaterOrEqual = compared((a, b) => a >= b);
const Less = compared((a, b) => a < b);
const LessOrEqual = compared((a, b) => a <= b);

const logical = (f: (a: number, b: number) => number): OpRule<NoAttributes> =>
  binary(f, truth, (a, b) => {
    for (const type of [a, b]) requireDType(type, ["bool"], "input");
    return "bool";
  });

const And = logical((a, b) => a & b);
const Or = logical((a, b) => a | b);
const Xor = logical((a, b) => a ^ b);

const Not = unaryWith(
  noAttributes,
  0,
  (x) => 1 - x,
  truth,
  (type) => {
    requireDType(type, ["bool"], "input");
    return type;
  },
);

/** A question about every element of a float tensor. */
const ofFloats = (type: TensorType): TensorType => ({ ...requireFloat(type), dtype: "bool" });

const IsNaN = unaryWith(noAttributes, 1, (x) => (Number.isNaN(x) ? 1 : 0), truth, ofFloats);

export interface InfinityAttributes {
  readonly detect_negative: boolean;
  readonly detect_positive: boolean;
}

const IsInf: OpRule<InfinityAttributes> = unaryWith(
  (raw) => readAttributes(raw, { detect_negative: flag(true), detect_positive: flag(true) }),
  1,
  (x, { detect_negative, detect_positive }) =>
    (x === Infinity && detect_positive) || (x === -Infinity && detect_negative) ? 1 : 0,
  truth,
  ofFloats,
);

/** Operators of this family. */
export const comparisonOps = {
  Equal,
  Greater,
  GreaterOrEqual,
  Less,
  LessOrEqual,
  And,
  Or,
  Xor,
  Not,
  IsNaN,
  IsInf,
};
