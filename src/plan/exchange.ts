/**
 * Groups whose members agree while they train: every few updates each sends its neighbours what it has
 * computed since, straight, and goes on with what came of all of it. This is the plan's word for every
 * scheme without a server in between, from the plain exchange of gradients to local steps with an outer one.
 */
import type { CopyId } from "../base/ids.ts";
import type { SparseCodecName } from "../codec/sparse.ts";
import type { OuterStep } from "../sync/joining.ts";
import type { JoinPolicy } from "../sync/policies.ts";
import type { Selection } from "../sync/selection.ts";
import type { StreamRules } from "../sync/streaming.ts";
import type { TransferRules } from "../sync/transfer.ts";

/** What one member sends another one at each exchange. */
export interface ExchangeEdge {
  readonly from: CopyId;
  readonly to: CopyId;
  /** What it may come to where the selection is `max-n`; null where nothing limits it, and elsewhere. */
  readonly bytes: number | null;
}

/** How members of a group agree while they train. Their chains have one stage each, on different nodes. */
export interface ExchangePlan {
  /**
   * Updates from one exchange to the next. Where it is 1, members share gradients before each update, and
   * with all entries from everybody the update is that of one large batch. Where it is more, each
   * member updates by itself, and they share how far they have come since they agreed last.
   */
  readonly every: number;
  /**
   * Batches to an update that a member makes by itself, so that one that takes more batches makes more updates; null
   * for its chain's number, and where `every` is 1.
   */
  readonly inner: number | null;
  /**
   * How long members compute from one exchange to the next, where each makes as many updates by itself as it manages in
   * that time (`every` above 1); where it is absent, as many as its chain says. Those that a chain has are a forecast then.
   */
  readonly computeMs?: number;
  /** Who sends whom; an update waits for who sends. */
  readonly topology: readonly ExchangeEdge[];
  readonly select: Selection;
  /**
   * How values travel: as they are, or in codes of 8 or 4 bits. What codes lose is kept and goes with what comes
   * next, and a member takes its own part as others have it, so that all may still come to the same.
   */
  readonly codec: SparseCodecName;
  /**
   * Whether each member joins what all send it; or each a slice of it, which it then sends to all: about twice the
   * bytes of what is joined go out of each, instead of once for every neighbour (reduce-scatter and all-gather: Thakur,
   * Rabenseifner and Gropp, "Optimization of collective communication operations in MPICH", 2005).
   */
  readonly reduce: "each" | "scatter";
  /** Exchanges that what a neighbour has sent may lag behind; 0 to wait for everybody each time. */
  readonly staleness: number;
  /**
   * Neighbours of a member that may be behind at all, as far as `staleness` lets them (backup workers: Luo et al., "Hop:
   * heterogeneity-aware decentralized training", ASPLOS 2019); null for all of them.
   */
  readonly backups: number | null;
  readonly join: JoinPolicy;
  /** The outer step, where `every` is more than 1; else a rate of 1 and no momentum. */
  readonly outer: OuterStep;
  /**
   * Where a member's changes go by fragments of the model, while it trains on: see `StreamRules`. The delay is in
   * updates, as `every` is. A round ends with an exchange of all entries.
   */
  readonly stream?: StreamRules;
  /**
   * Whose tensors a round brings home: each member's, to be averaged; or, where all have come to the same
   * weights, those of the first that is in the round alone, and the others go on with what they have. In the
   * second case what an optimizer keeps of its own steps (`every` more than 1) lasts for a round, as
   * residuals do; running statistics, which nobody exchanges, each brings in any case.
   */
  readonly home: "each" | "first";
  /** When members take over weights of neighbours that have come further, where they do: see `TransferRules`. */
  readonly transfer?: TransferRules;
}

/** Batches to an update of a member whose chain has so many. */
export const batchesToUpdate = ({ inner }: Pick<ExchangePlan, "inner">, microBatches: number) =>
  inner ?? microBatches;

/** What training moves: weights, what the optimizer keeps of each, and running statistics. */
export type MovedKind = "weight" | "state" | "statistic";

const everyKind: readonly MovedKind[] = ["weight", "state", "statistic"];

/** What a member brings home of its tensors. @param isRest whether another one brings what all have alike */
export function broughtKinds(exchange: ExchangePlan | null, isRest: boolean): readonly MovedKind[] {
  if (exchange === null || exchange.home === "each") return everyKind;
  if (isRest) return ["statistic"];
  return exchange.every === 1 ? everyKind : ["weight", "statistic"];
}

/** What members have alike between rounds where they all end one with the same, and can give one another. */
export const givenKinds = ({ every }: Pick<ExchangePlan, "every">): readonly MovedKind[] =>
  every === 1 ? ["weight", "state"] : ["weight"];

/** What of a member's tensors is not what it would go on with: that is given to it with each round. */
export const renewedKinds = ({ every }: Pick<ExchangePlan, "every">): readonly MovedKind[] =>
  every === 1 ? ["statistic"] : ["state", "statistic"];

/** What is exchanged in full with everybody, each step: the other schemes depart from it. */
export const fullExchange = {
  every: 1,
  inner: null,
  select: { kind: "all" },
  codec: "float32",
  reduce: "each",
  staleness: 0,
  backups: null,
  join: { kind: "average" },
  outer: { rate: 1, momentum: 0 },
  home: "each",
} as const satisfies Omit<ExchangePlan, "topology">;
