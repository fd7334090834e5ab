/** Who is there and what each holds: what the topology shows, before any coordinate. */
import type { RoundPoint, RunSummary } from "edgeloom";
import type { NodeId } from "../run-model.ts";

type Summary = Pick<RunSummary, "nodes" | "plan" | "segments">;

/** Segments [from, to) that a node trains, and for which chains: their sources' names. */
export interface Strip {
  readonly from: number;
  readonly to: number;
  readonly sources: readonly string[];
}

export interface SceneNode {
  readonly id: NodeId;
  readonly name: string;
  readonly kind: "device" | "edge" | "cloud";
  readonly duty: number;
  readonly samples: number;
  /** Why it left; null while it is there. */
  readonly left: string | null;
  /** In order of their first segment; empty where the plan gives it nothing to do. */
  readonly strips: readonly Strip[];
  /** The node that it sends features to, or would; null for none. */
  readonly parent: NodeId | null;
  /** Its share of the link in bytes per millisecond, infinite where nothing limits it; null without a planned link. */
  readonly allotted: number | null;
}

/** The nodes in the order given. */
export function sceneOf({ nodes, plan }: Summary): SceneNode[] {
  const copies = new Map(plan?.copies.map((copy) => [copy.id, copy]));
  const nameOf = new Map(nodes.map((node) => [node.node, node.name]));
  const strips = new Map<NodeId, Map<string, { from: number; to: number; sources: string[] }>>();
  const parents = new Map<NodeId, NodeId>();
  for (const chain of plan?.chains ?? []) {
    let before: NodeId | null = null;
    for (const stage of chain.stages) {
      const copy = copies.get(stage.copy);
      if (copy === undefined) continue;
      const { node, from, to } = copy;
      if (before !== null && before !== node) parents.set(before, node);
      before = node;
      const held = strips.get(node) ?? new Map();
      strips.set(node, held);
      const strip = held.get(`${from}-${to}`) ?? { from, to, sources: [] };
      held.set(`${from}-${to}`, strip);
      strip.sources.push(nameOf.get(chain.source) ?? chain.source);
    }
  }
  const allotted = new Map(
    plan?.links.map((link) => [link.from, link.bytesPerMs ?? Number.POSITIVE_INFINITY]),
  );
  const hub = nodes.find((node) => node.kind === "edge") ?? nodes.find((n) => n.kind === "cloud");
  const cloud = nodes.find((node) => node.kind === "cloud");
  const isSplit = plan === null || plan.links.length > 0;
  return nodes.map(({ node, name, kind, dutyAsked, samples, left }): SceneNode => {
    const above = kind === "device" ? hub : kind === "edge" ? cloud : undefined;
    return {
      id: node,
      name,
      kind,
      duty: dutyAsked,
      samples,
      left,
      strips: [...(strips.get(node)?.values() ?? [])].sort((a, b) => a.from - b.from),
      parent: parents.get(node) ?? (isSplit ? (above?.node ?? null) : null),
      allotted: allotted.get(node) ?? null,
    };
  });
}

/** What went straight between two nodes in a round, seen from one of them. */
export interface StraightLink {
  readonly with: NodeId;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** What was achieved lately, in bytes per millisecond; null before enough was sent. */
  readonly up: number | null;
  readonly down: number | null;
}

/** Links that carried something in a round without the coordinator, by both of their nodes. */
export function straightIn(round: RoundPoint | undefined): Map<NodeId, StraightLink[]> {
  const links = new Map<NodeId, StraightLink[]>();
  const take = (node: NodeId, other: NodeId, seen: Partial<StraightLink>): void => {
    const own = links.get(node) ?? [];
    links.set(node, own);
    const at = own.findIndex((link) => link.with === other);
    const known = own[at] ?? { with: other, sentBytes: 0, receivedBytes: 0, up: null, down: null };
    own.splice(at < 0 ? own.length : at, 1, { ...known, ...seen });
  };
  for (const { node, straight } of round?.nodes ?? []) {
    for (const { to, bytes, bytesPerMs } of straight) {
      take(node, to, { sentBytes: bytes, up: bytesPerMs });
      take(to, node, { receivedBytes: bytes, down: bytesPerMs });
    }
  }
  return links;
}

/** What a node's link carried in a round, in bytes per millisecond. */
export interface Achieved {
  readonly up: number | null;
  readonly down: number | null;
}

/** Achieved rates by node; null where nothing was paced or nothing moved. */
export function achievedIn(round: RoundPoint | undefined): Map<NodeId, Achieved> {
  const rate = (paced: { bytes: number; ms: number } | null): number | null =>
    paced === null || paced.ms <= 0 ? null : paced.bytes / paced.ms;
  return new Map(
    round?.nodes.map(({ node, sending, receiving }) => [
      node,
      { up: rate(sending), down: rate(receiving) },
    ]),
  );
}
