/** Operators that are written out in others give what their reference kernels give. */
import { describe, expect, test } from "vitest";
import { attentionGradients } from "../../../test/contract/gradient-cases/attention.ts";
import { einsumGradients } from "../../../test/contract/gradient-cases/einsum.ts";
import { indexingGradients } from "../../../test/contract/gradient-cases/indexing.ts";
import { normalizationGradients } from "../../../test/contract/gradient-cases/normalization.ts";
import { rearrangeGradients } from "../../../test/contract/gradient-cases/rearrange.ts";
import { recurrentGradients } from "../../../test/contract/gradient-cases/recurrent.ts";
import { resizeGradients } from "../../../test/contract/gradient-cases/resize.ts";
import { casesOf } from "../../../test/contract/gradients.ts";
import type { DenseTensor } from "../../base/tensor.ts";
import { GraphBuilder } from "../builder.ts";
import { interpret } from "../interpret.ts";
import { specialize } from "../specialize.ts";
import { ruleOf } from "./table.ts";

const families = [
  attentionGradients,
  einsumGradients,
  indexingGradients,
  recurrentGradients,
  rearrangeGradients,
  normalizationGradients,
  resizeGradients,
];
const cases = casesOf(families).filter(({ op }) => ruleOf(op).lower !== undefined);

describe("an operator that is written out gives what it gives itself", () => {
  test.each(cases)("$name", ({ op, inputs, attributes = {}, outputs = 1 }) => {
    const builder = new GraphBuilder("case");
    const feeds = new Map<string, DenseTensor>();
    const names = inputs.map((value, i) => {
      if (value === null) return "";
      if (value.dtype !== "float64") return builder.constant(value);
      feeds.set(`input${i}`, value);
      return builder.input(`input${i}`, value);
    });
    const results = builder.emitAll(op, names, attributes, outputs);
    const graph = builder.graph(results);
    const whole = interpret(graph, feeds);
    const written = interpret(specialize(graph, {}), feeds);
    for (const name of results) {
      const expected = Array.from(whole.get(name)?.data as Float64Array);
      expect(expected.length).toBeGreaterThan(0);
      Array.from(written.get(name)?.data as Float64Array).forEach((value, i) => {
        expect(value).toBeCloseTo(expected[i] as number, 11);
      });
    }
  });
});
