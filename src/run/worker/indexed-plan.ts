/** A plan made ready to be looked things up in: a stage asks for its copy and the links at its borders. */
import type { NodeId } from "../../base/ids.ts";
import type { CopyPlan, LinkPlan, Plan } from "../../plan/plan.ts";

/** A plan's copies by id, and its links by chain and ends. */
export interface IndexedPlan {
  readonly copies: ReadonlyMap<string, CopyPlan>;
  readonly links: ReadonlyMap<string, LinkPlan>;
}

export const indexed = ({ copies, links }: Plan): IndexedPlan => ({
  copies: new Map(copies.map((copy) => [copy.id, copy])),
  links: new Map(links.map((link) => [linkKey(link.chain, link.from, link.to), link])),
});

/** The link under a chain's border between two nodes; there is none within a node or at an end. */
export const linkKey = (chain: string, from: NodeId | null, to: NodeId | null): string =>
  `${from} to ${to} of ${chain}`;
