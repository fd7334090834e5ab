/** What nodes are told of a chain's round. */
import { present } from "../../base/assert.ts";
import type { ChainId, NodeId } from "../../base/ids.ts";
import { exchangingWith } from "../../plan/exchange-members.ts";
import type { CurtailedMessage } from "../wire/messages.ts";
import type { LateRound } from "./late-rounds.ts";
import type { Roster } from "./roster.ts";
import type { Round } from "./round.ts";

/** Asks the chains through a node, or all of them, to end the round with the batches that have begun. */
export function tellToCurtail(
  { round, plan }: LateRound,
  node: NodeId | null,
  members: Roster,
): void {
  for (const chain of round.pendingThrough(node)) {
    const source = members.get(present(round.nodesOf(chain)[0], "a source"));
    source?.channel.send({ type: "curtail", term: plan.term, round: round.number, chain });
  }
}

/** A source has ended its chain's round early: the other stages are told. */
export function tellOfCurtailed(round: Round, message: CurtailedMessage, members: Roster): void {
  const { term, round: number, chain, work } = message;
  const others = new Set(round.nodesOf(chain as ChainId));
  // Another stage on the source's own node has to hear of it as well; the source's has.
  for (const node of others) {
    members.get(node)?.channel.send({ type: "shorten", term, round: number, chain, work });
  }
}

/** Tells the nodes of a chain, and those who exchange with it, that it is out of a round. */
export function tellToAbandon({ round, plan }: LateRound, chain: ChainId, members: Roster): void {
  const nodes = exchangingWith(plan, chain).flatMap((id) => round.nodesOf(id));
  const at = { term: plan.term, round: round.number, chain };
  for (const node of new Set(nodes)) members.get(node)?.channel.send({ type: "abandon", ...at });
}
