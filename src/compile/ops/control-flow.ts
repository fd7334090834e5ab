/**
 * Control flow. A graph that is trained is static, so the branch of an `If` must be known once all
 * sizes are: exporters ask for ranks and sizes in this way, and for settings such as a sampling
 * rate. The branch then stands in place of the node.
 */
import { assert } from "../../base/assert.ts";
import { ModelError } from "../../base/errors.ts";
import { formatType } from "../../base/tensor.ts";
import type { Subgraph } from "../graph.ts";
import { readAttributes, subgraph } from "./attributes.ts";
import { numbers } from "./elements.ts";
import { writtenOut } from "./gradients.ts";
import type { OpRule } from "./rule.ts";

export interface IfAttributes {
  readonly then_branch: Subgraph;
  readonly else_branch: Subgraph;
}

/** Nothing asks further once the types are refused. */
const replaced = (): never => {
  assert(false, "a branch stands in the place of an If");
};

/** Its inputs are the condition and what the branches take from around them. */
const If: OpRule<IfAttributes> = {
  inputs: [1, Number.POSITIVE_INFINITY],
  outputs: [1, Number.POSITIVE_INFINITY],
  attributes: (raw) =>
    readAttributes<IfAttributes>(raw, { then_branch: subgraph, else_branch: subgraph }),
  chosen: ({ then_branch, else_branch }, [condition]) => {
    if (!condition) return null;
    if (condition.dtype !== "bool" || condition.data.length !== 1) {
      throw new ModelError(`the condition is ${formatType(condition)}; allowed: one bool`);
    }
    return numbers(condition)[0] === 0 ? else_branch : then_branch;
  },
  types: () => {
    throw new ModelError(
      "the condition depends on the values of the model's inputs; " +
        "allowed: one that is constant once all sizes are known",
    );
  },
  flops: replaced,
  gradient: writtenOut,
  compute: replaced,
};

/** Operators of this family. */
export const controlFlowOps = { If };
