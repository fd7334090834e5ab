/** Attention with heads apart and side by side, shared keys, masks, lengths and caps. */
import { int64 } from "../../../src/base/tensor.ts";
import { type Check, truths } from "../gradients.ts";

export function attentionGradients(check: Check): void {
  const [q, k, v] = [
    [2, 2, 3, 4],
    [2, 2, 5, 4],
    [2, 2, 5, 2],
  ] as const;
  check("Attention", "of other keys", [q, k, v]);
  check("Attention", "causal, with a scale", [q, k, v], { is_causal: 1, scale: 0.7 });
  check("Attention", "with a cap", [q, k, v], { softcap: 0.8 });
  check("Attention", "with a trained mask, causal", [q, k, v, [3, 5]], { is_causal: 1 });
  check("Attention", "with a mask of heads", [q, k, v, [2, 1, 5]], { softcap: 2 });
  check("Attention", "with a mask of some keys", [q, k, v, [3, 4]]);
  const mask = truths([3, 5], [1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1]);
  check("Attention", "with nothing for one query", [q, k, v, mask]);
  check("Attention", "with nothing for one query, causal", [q, k, v, mask], { is_causal: 1 });
  const lengths = int64([2], [5, 2]);
  check("Attention", "of so many keys", [q, k, v, null, null, null, lengths]);
  check("Attention", "of so many keys, causal", [q, k, v, null, null, null, lengths], {
    is_causal: 1,
  });
  check(
    "Attention",
    "of shared keys",
    [
      [1, 4, 2, 3],
      [1, 2, 3, 3],
      [1, 2, 3, 2],
    ],
    {
      is_causal: 1,
    },
  );
  check(
    "Attention",
    "of heads side by side",
    [
      [2, 3, 8],
      [2, 4, 4],
      [2, 4, 6],
    ],
    {
      q_num_heads: 4,
      kv_num_heads: 2,
    },
  );
  check(
    "Attention",
    "of one head of keys, with a mask",
    [
      [1, 3, 6],
      [1, 4, 2],
      [1, 4, 2],
      [3, 4],
    ],
    {
      q_num_heads: 3,
      kv_num_heads: 1,
      softmax_precision: 11,
    },
  );
}
