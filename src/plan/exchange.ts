/**
 * Groups whose members agree while they train: every few updates each sends its neighbours what it has
 * computed since, straight, and goes on with what came of all of it. This is the plan's word for every
 * scheme without a server in between, from the plain exchange of gradients to local steps with an outer one.
 */
import type { CopyId } from "../base/ids.ts";
import type { JoinPolicy, OuterStep } from "../sync/joining.ts";
import type { Selection } from "../sync/selection.ts";

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
  /** Who sends whom; an update waits for who sends. */
  readonly topology: readonly ExchangeEdge[];
  readonly select: Selection;
  /** Exchanges that what a neighbour has sent may lag behind; 0 to wait for everybody each time. */
  readonly staleness: number;
  readonly join: JoinPolicy;
  /** The outer step, where `every` is more than 1; else a rate of 1 and no momentum. */
  readonly outer: OuterStep;
}

/** What is exchanged in full with everybody, each step: the other schemes depart from it. */
export const fullExchange = {
  every: 1,
  select: { kind: "all" },
  staleness: 0,
  join: { kind: "average" },
  outer: { rate: 1, momentum: 0 },
} as const satisfies Omit<ExchangePlan, "topology">;
