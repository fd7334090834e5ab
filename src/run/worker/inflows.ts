/** What may come to a node over the borders of its stages, and from whom. */
import type { NodeId } from "../../base/ids.ts";
import type { DataMessage } from "../wire/messages.ts";
import type { ExchangeNeighbour, ExchangeSetup } from "./exchange-setup.ts";
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
    if (exchange !== null) {
      for (const [border, inflow] of exchangeInflows(exchange)) inflows.set(border, inflow);
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

/** Parts of neighbours, what one of them gives who joins, and where weights are transferred those and what asks for them, after each exchange at most. */
function exchangeInflows({
  plan,
  exchanges,
  incoming,
  outgoing,
}: ExchangeSetup): [string, Inflow][] {
  const from =
    (type: DataMessage["type"], batches: number) =>
    ({ chain, node }: ExchangeNeighbour): [string, Inflow] => [
      borderOf({ type, stage: 0, chain }),
      { chain, from: node, batches },
    ];
  const parts = [...incoming.map(from("exchange", exchanges)), ...incoming.map(from("state", 1))];
  if (plan.transfer === undefined) return parts;
  const afterLast = exchanges + 1;
  return [
    ...parts,
    ...incoming.map(from("weights", afterLast)),
    ...outgoing.map(from("pull", afterLast)),
  ];
}
