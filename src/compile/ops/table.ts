/**
 * Every operator that Edgeloom knows, by its ONNX name. A name in here is an
 * operator with types, cost, gradient (or the reason why it has none) and a
 * reference kernel; anything else in a model is refused by name.
 */
import { activationOps } from "./activation.ts";
import { attentionOps } from "./attention.ts";
import { batchNormalizationOps } from "./batch-normalization.ts";
import { comparisonOps } from "./comparison.ts";
import { controlFlowOps } from "./control-flow.ts";
import { convolutionOps } from "./convolution.ts";
import { creationOps } from "./creation.ts";
import { einsumOps } from "./einsum.ts";
import { elementwiseOps } from "./elementwise.ts";
import { indexingOps } from "./indexing.ts";
import { matrixOps } from "./matrix.ts";
import { noiseOps } from "./noise.ts";
import { normalizationOps } from "./normalization.ts";
import { normalizationForms } from "./normalization-forms.ts";
import { paddingOps } from "./padding.ts";
import { poolingOps } from "./pooling.ts";
import { rankingOps } from "./ranking.ts";
import { rearrangeOps } from "./rearrange.ts";
import { recurrentOps } from "./recurrent.ts";
import { reductionOps } from "./reduction.ts";
import { resizeOps } from "./resize.ts";
import type { OpRule } from "./rule.ts";
import { selectionOps } from "./selection.ts";
import { shapeOps } from "./shape.ts";
import { trigonometryOps } from "./trigonometry.ts";

export const ops = {
  ...activationOps,
  ...batchNormalizationOps,
  ...attentionOps,
  ...comparisonOps,
  ...controlFlowOps,
  ...convolutionOps,
  ...creationOps,
  ...einsumOps,
  ...elementwiseOps,
  ...indexingOps,
  ...matrixOps,
  ...noiseOps,
  ...normalizationOps,
  ...normalizationForms,
  ...paddingOps,
  ...poolingOps,
  ...rankingOps,
  ...rearrangeOps,
  ...recurrentOps,
  ...reductionOps,
  ...resizeOps,
  ...selectionOps,
  ...shapeOps,
  ...trigonometryOps,
};

/** ONNX names of the operators in the table. */
export type OpName = keyof typeof ops;

/** An operator's rule for passes that treat all operators alike: its attributes are opaque. */
export const ruleOf = (name: OpName): OpRule<unknown> => ops[name] as OpRule<unknown>;
