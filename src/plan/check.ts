/**
 * Checks that a plan makes sense before anyone acts on it. Planners are trusted
 * and tested with this; a plan that came over a link is not trusted at all. The
 * shape of fields is checked where messages are decoded; here stands what the
 * fields must mean together.
 */
import { PlanError } from "../base/errors.ts";
import type { NodeId } from "../base/ids.ts";
import { formatRate } from "../base/units.ts";
import { linkCodecNames } from "../codec/link-codec.ts";
import { syncPolicyNames } from "../sync/policies.ts";
import { checkColumns, type Holder, type TakenColumns } from "./check-columns.ts";
import { checkExchanges } from "./check-exchange.ts";
import { type Check, checkMerges } from "./check-merge.ts";
import { inRound, phasesOf } from "./phases.ts";
import type { ChainPlan, CopyPlan, Fleet, FleetNode, LinkPlan, Plan } from "./plan.ts";

/** What the checker knows of the fleet. */
export interface KnownFleet extends Pick<Fleet, "cellBytesPerMs"> {
  readonly nodes: readonly Pick<FleetNode, "id" | "ceilingBytesPerMs">[];
}

/** What is known of samples whose columns parties share. */
export interface KnownColumns {
  /** Columns that each segment takes. */
  readonly taken: TakenColumns;
  /** Nodes of which it is known what they have. */
  readonly nodes: readonly Holder[];
}

/** Shares are sums of fractions: so much may come from rounding. */
const rounding = 1 + 1e-9;

/**
 * Holds when every chain covers all segments once and in order on copies that
 * exist, every copy belongs to one group and, unless it merges, to one chain, every border between
 * two nodes has its link, and rates and duties are within bounds.
 *
 * @param segments number of segments of the model
 * @param fleet what else is known: nodes must be in it, and shares fit into it
 * @param columns with it, copies must take columns that their nodes have
 * @throws PlanError naming the part of the plan that is wrong
 */
export function checkPlan(
  plan: Plan,
  segments: number,
  fleet?: KnownFleet,
  columns?: KnownColumns,
): void {
  const check: Check = (fact, text) => {
    if (!fact) throw new PlanError(`plan ${plan.term} (${plan.planner}): ${text}`);
  };
  const copies = checkCopies(plan, segments, check);
  checkChains(plan, segments, copies, check);
  checkMerges(plan, copies, check);
  checkGroups(plan, copies, check);
  checkExchanges(plan, check);
  checkLinks(plan, copies, check);
  checkLimits(plan, check);
  if (fleet !== undefined) checkFleet(plan, fleet, check);
  if (columns !== undefined) checkColumns(plan, columns.taken, columns.nodes, check);
}

type Copies = ReadonlyMap<string, CopyPlan>;

function checkCopies(plan: Plan, segments: number, check: Check): Copies {
  const copies = new Map<string, CopyPlan>();
  for (const copy of plan.copies) {
    const { id, from, to } = copy;
    check(!copies.has(id), `${id} occurs twice`);
    check(
      Number.isInteger(from) && Number.isInteger(to) && 0 <= from && from < to && to <= segments,
      `${id} has segments [${from}, ${to}); the model has [0, ${segments})`,
    );
    copies.set(id, copy);
  }
  return copies;
}

function checkChains(plan: Plan, segments: number, copies: Copies, check: Check): void {
  const chains = new Set<string>();
  const used = new Set<string>();
  check(plan.chains.length > 0, "it has no chain, so nothing would be trained");
  for (const chain of plan.chains) {
    check(!chains.has(chain.id), `${chain.id} occurs twice`);
    chains.add(chain.id);
    check(
      Number.isInteger(chain.work) && chain.work >= 1,
      `${chain.id} has ${chain.work} batches a round; allowed: 1 or more`,
    );
    check(
      chain.schedule === "window"
        ? Number.isInteger(chain.window) && chain.window >= 0
        : chain.window === 0,
      `${chain.id} has a window of ${chain.window} with the schedule ${chain.schedule}; ` +
        "allowed: 0 or more with the schedule window, 0 with any other",
    );
    checkPhase(chain, check);
    checkStages(chain, segments, copies, check);
    for (const { copy, merge } of chain.stages) {
      check(merge !== undefined || !used.has(copy), `${copy} serves two stages`);
      used.add(copy);
    }
  }
  for (const id of copies.keys()) check(used.has(id), `${id} is in no chain`);
  const forecast = new Set<string>();
  for (const { chain, roundMs, computeMs, transferMs } of plan.forecasts) {
    check(chains.has(chain), `a forecast is for ${chain}, which it does not have`);
    check(!forecast.has(chain), `${chain} has two forecasts`);
    for (const ms of [roundMs, computeMs, transferMs]) {
      check(Number.isFinite(ms) && ms >= 0, `${chain} is forecast to take ${ms} ms`);
    }
    forecast.add(chain);
  }
}

/** A part of a plan may lack phases that the plan has; so whether all have a chain is checked with the fleet. */
function checkPhase({ id, phase = 0 }: ChainPlan, check: Check): void {
  check(
    Number.isInteger(phase) && phase >= 0,
    `${id} has the phase ${phase}; allowed: 0 or a whole number above`,
  );
}

function checkStages(chain: ChainPlan, segments: number, copies: Copies, check: Check): void {
  let at = 0;
  for (const [i, { copy: id, backward }] of chain.stages.entries()) {
    const copy = copies.get(id);
    check(copy !== undefined, `${chain.id} uses ${id}, which it does not have`);
    if (i === 0) {
      check(
        copy.node === chain.source,
        `${chain.id} starts on ${copy.node}, its data is elsewhere`,
      );
    }
    check(
      copy.from === at,
      `${chain.id} goes from segment ${at} to ${id}, which begins at ${copy.from}`,
    );
    at = copy.to;
    const holdsLoss = i === chain.stages.length - 1;
    check(
      (backward === "none") === holdsLoss,
      `${chain.id} has backward "${backward}" in stage ${i} of ${chain.stages.length}`,
    );
  }
  check(at === segments, `${chain.id} ends at segment ${at} of ${segments}`);
}

/** Every copy is in exactly one group: what no group merges would be lost after the round. */
function checkGroups(plan: Plan, copies: Copies, check: Check): void {
  const members = new Set<string>();
  for (const group of plan.groups) {
    check(group.members.length > 0, "a group has no members");
    check(syncPolicyNames.includes(group.policy), `there is no policy ${group.policy}`);
    for (const member of group.members) {
      check(copies.has(member), `a group has ${member}, which is no copy`);
      check(!members.has(member), `${member} is in two groups`);
      members.add(member);
    }
  }
  for (const id of copies.keys()) check(members.has(id), `${id} is in no group`);
}

/**
 * Each border between two nodes has its link, and there are no others: but a chain that stays on one
 * node may have one from there, which only its weights travel on.
 */
function checkLinks(plan: Plan, copies: Copies, check: Check): void {
  const borders = new Set<string>();
  const alone = new Map<string, NodeId>();
  for (const { id, source, stages } of plan.chains) {
    if (stages.length === 1) alone.set(id, source);
    const nodes = stages.map(({ copy }) => copies.get(copy)?.node);
    for (const [i, to] of nodes.slice(1).entries()) {
      if (nodes[i] !== to) borders.add(borderKey(id, nodes[i], to));
    }
  }
  for (const link of plan.links) {
    const { chain, from, to, bytesPerMs, codecUp, codecDown } = link;
    const border = borderKey(chain, from, to);
    const isForWeights = alone.get(chain) === from && from !== to;
    if (isForWeights) alone.delete(chain);
    check(
      isForWeights || borders.delete(border),
      `there is no border for the link ${border}, or it has one already`,
    );
    check(
      bytesPerMs === null || (Number.isFinite(bytesPerMs) && bytesPerMs > 0),
      `the link ${border} has ${bytesPerMs} bytes per millisecond; allowed: above 0`,
    );
    const { backBytesPerMs = null } = link;
    check(
      backBytesPerMs === null || (Number.isFinite(backBytesPerMs) && backBytesPerMs > 0),
      `the link ${border} has ${backBytesPerMs} bytes per millisecond back; allowed: above 0`,
    );
    for (const codec of [codecUp, codecDown]) {
      check(linkCodecNames.includes(codec), `there is no codec ${codec}`);
    }
  }
  for (const border of borders) check(false, `the border ${border} has no link`);
}

const borderKey = (chain: string, from: string | undefined, to: string | undefined): string =>
  `of ${chain} from ${from} to ${to}`;

function checkLimits(plan: Plan, check: Check): void {
  const limited = new Set<NodeId>();
  for (const { node, duty } of plan.limits) {
    check(!limited.has(node), `${node} has two limits`);
    check(duty > 0 && duty <= 1, `${node} has a duty of ${duty}; allowed: above 0, at most 1`);
    limited.add(node);
  }
  for (const { node } of plan.copies) check(limited.has(node), `${node} trains and has no limit`);
}

function checkFleet(plan: Plan, fleet: KnownFleet, check: Check): void {
  const known = new Set(fleet.nodes.map(({ id }) => id));
  for (const { node } of plan.limits) check(known.has(node), `there is no node ${node}`);
  const phases = phasesOf(plan);
  check(phases <= plan.chains.length, `it has ${phases} phases for fewer chains`);
  for (let phase = 0; phase < phases; phase++) {
    const { chains } = inRound(plan, phase);
    check(chains.length > 0, `phase ${phase} of ${phases} has no chain`);
    checkRates(chains, plan.links, fleet, check);
  }
}

/** Shares of chains that train at the same time fit into what they share. */
function checkRates(
  chains: readonly ChainPlan[],
  every: readonly LinkPlan[],
  { nodes, cellBytesPerMs }: KnownFleet,
  check: Check,
): void {
  const sources = new Map(chains.map(({ id, source }) => [id, source]));
  // What comes back to a source comes at the rates of what has left it.
  const links = every.filter(({ chain, to }) => sources.has(chain) && sources.get(chain) !== to);
  for (const { id, ceilingBytesPerMs } of nodes) {
    const own = links.filter((link) => link.from === id || link.to === id);
    checkShares(`the link of ${id}`, own, ceilingBytesPerMs, check);
  }
  // Servers are behind no cell: of a chain, only what leaves the source goes through one.
  const first = links.filter(({ chain, from }) => sources.get(chain) === from);
  checkShares("the cell", first, cellBytesPerMs, check);
}

/**
 * Chains share by their rates; the borders of one chain that meet at a node take turns. Those without
 * a rate take what the network leaves them.
 */
function checkShares(
  what: string,
  links: readonly LinkPlan[],
  capacity: number | null,
  check: Check,
): void {
  if (capacity === null) return;
  const shares = new Map<string, number>();
  for (const { chain, bytesPerMs } of links) {
    shares.set(chain, Math.max(bytesPerMs ?? 0, shares.get(chain) ?? 0));
  }
  let total = 0;
  for (const share of shares.values()) total += share;
  check(
    total <= capacity * rounding,
    `shares of ${what} are ${formatRate(total)} together; it carries ${formatRate(capacity)}`,
  );
}
