/** What may come to a node over the borders of its stages, and from whom. */
import type { NodeId } from "../../base/ids.ts";
import type { DataMessage } from "../wire/messages.ts";
import type { StageSetup } from "./stage-setup.ts";

/** What may come over a border: from whom, and how many batches in a round. */
export interface Inflow {
  readonly chain: string;
  readonly from: NodeId;
  readonly batches: number;
}

/** One border and direction: what comes over it has one order. */
export const borderOf = ({
  type,
  stage,
  chain,
}: Pick<DataMessage, "type" | "stage" | "chain">): string => `${type} ${stage} of ${chain}`;

/** What comes to the stages of this node, and from whom. */
export function inflowsOf(stages: Iterable<StageSetup>): Map<string, Inflow> {
  const inflows = new Map<string, Inflow>();
  for (const { chain, stage, upstream, downstream, exchange } of stages) {
    const { id, work: batches } = chain;
    for (const { chain: other, node: from } of exchange?.incoming ?? []) {
      inflows.set(borderOf({ type: "exchange", stage: 0, chain: other }), {
        chain: other,
        from,
        batches: exchange?.exchanges ?? 0,
      });
    }
    if (upstream !== null) {
      inflows.set(borderOf({ type: "feature", stage, chain: id }), {
        chain: id,
        from: upstream,
        batches,
      });
    }
    if (downstream !== null) {
      inflows.set(borderOf({ type: "gradient", stage, chain: id }), {
        chain: id,
        from: downstream,
        batches,
      });
    }
  }
  return inflows;
}
