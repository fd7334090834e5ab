/**
 * Micro-clouds: every node that holds data trains the whole model, and they agree from node to node while they
 * train (after Hong and Chandra, "DLion", HPDC 2021). Each takes as many batches to an update as it
 * manages in the time of the others, and gradients are weighted by batches, so that an update is exactly that
 * of one large batch. What links carry decides how they agree: all gradients each update; of each
 * gradient what the link has room for; or, where even that is little, several updates by themselves in between.
 */
import { present } from "../base/assert.ts";
import { PlanError } from "../base/errors.ts";
import { chainId, copyId } from "../base/ids.ts";
import { formatBytes, formatMs } from "../base/units.ts";
import { checkNode } from "./check-request.ts";
import { type ExchangeEdge, type ExchangePlan, fullExchange } from "./exchange.ts";
import { exchangeTopology } from "./exchange-topology.ts";
import { trainingBytes } from "./memory.ts";
import type { ExchangeChoice, FleetNode, Plan, PlanRequest } from "./plan.ts";
import { heldMs } from "./program-time.ts";

/** What agreeing may add to the time of an update, beside what is computed. */
const overhead = 0.25;
/** Of each gradient at least this share is to go, or it is better to go on alone for a while. */
const shareMin = 0.1;
/** Updates that members make by themselves, at most: further apart, their mean is worth less. */
const everyMax = 64;

/** What a job has not chosen is chosen here. */
const anyExchange: ExchangeChoice = {
  ...{ every: null, select: null, staleness: 0, join: { kind: "average" }, outer: null },
  batches: "proportional",
};

/**
 * Plans agreement from node to node.
 * @throws PlanError when no node holds data, or one has no memory for the whole model
 */
export function microClouds(request: PlanRequest): Plan {
  return exchanging(request, "micro-clouds", request.exchange ?? anyExchange);
}

/** All gradients to everybody before each update, and equal batches: the baseline of the others. */
export function fullGradients(request: PlanRequest): Plan {
  const choice = { ...fullExchange, batches: "equal" } as const;
  return exchanging(request, "full-exchange", choice);
}

/** A member, and its times in milliseconds. */
interface MemberTimes {
  readonly node: FleetNode;
  readonly batchMs: number;
  readonly updateMs: number;
}

/**
 * Deals batches out one by one, each to who is done with it first: so the last one is done as early as can be.
 * Everybody gets one at least.
 */
export function batchesBySpeed(
  members: readonly Pick<MemberTimes, "batchMs" | "updateMs">[],
  total: number,
): number[] {
  const shares = members.map(() => 1);
  for (let dealt = members.length; dealt < total; dealt++) {
    const done = members.map(({ batchMs, updateMs }, i) => {
      return ((shares[i] as number) + 1) * batchMs + updateMs;
    });
    const first = done.indexOf(Math.min(...done));
    shares[first] = (shares[first] as number) + 1;
  }
  return shares;
}

function exchanging(request: PlanRequest, planner: string, choice: ExchangeChoice): Plan {
  const { segments, term, accumulate, work } = request;
  const members = membersOf(request);
  const total = accumulate * members.length;
  const shares =
    choice.batches === "equal" ? members.map(() => accumulate) : batchesBySpeed(members, total);
  const ownMs = members.map(
    ({ batchMs, updateMs }, i) => (shares[i] as number) * batchMs + updateMs,
  );
  const computeMs = Math.max(...ownMs);
  const copies = members.map(({ node }) => copyId(`copy:${node.id}`));
  const links = new Links(
    members.map(({ node }) => node),
    copies,
  );
  const bytes = segments.reduce((sum, { parameterBytes }) => sum + parameterBytes, 0);
  const { exchange, transferMs, reason: how } = agree(choice, links, { bytes, computeMs });
  const { every } = exchange;
  const updates = every * Math.max(1, Math.round(work / accumulate / every));
  const roundMs = updates * (computeMs + transferMs);
  const chains = members.map(({ node }) => chainId(`chain:${node.id}`));
  const reason =
    `${members.length} nodes train the whole model, ${links.text}: ${how}; an update takes ` +
    `${total} batches, ${formatMs(computeMs + transferMs)}`;
  return {
    ...{ term, planner, objective: "round time", links: [], reason },
    copies: members.map(({ node }, i) => ({
      ...{ id: present(copies[i], "a copy"), node: node.id, from: 0, to: segments.length },
      mode: "train",
    })),
    chains: members.map(({ node }, i) => ({
      ...{ id: present(chains[i], "a chain"), source: node.id, schedule: "serial", window: 0 },
      stages: [{ copy: present(copies[i], "a copy"), backward: "none" }],
      work: updates * (shares[i] as number),
      microBatches: shares[i] as number,
    })),
    groups: [{ members: copies, policy: "average", when: "step", exchange }],
    limits: members.map(({ node }) => ({ node: node.id, duty: node.duty })),
    forecasts: members.map(({ node, batchMs }, i) => ({
      chain: present(chains[i], "a chain"),
      roundMs,
      computeMs: updates * (ownMs[i] as number),
      transferMs: roundMs - updates * (ownMs[i] as number),
      reason:
        `${node.name} takes ${shares[i]} of ${total} batches to an update, ` +
        `${formatMs(batchMs)} each`,
    })),
  };
}

function membersOf(request: PlanRequest): MemberTimes[] {
  const { fleet, segments, recompute } = request;
  const nodes = fleet.nodes.filter(({ samples }) => samples > 0);
  if (nodes.length === 0) throw new PlanError("no node holds training data");
  const to = segments.length;
  const needed = trainingBytes(segments, 0, to, { hasLoss: true, recompute });
  return nodes.map((node) => {
    checkNode(request, node);
    const { name, memoryBytes, profile, duty } = node;
    if (memoryBytes !== null && needed > memoryBytes) {
      throw new PlanError(
        `${name} has ${formatBytes(memoryBytes)} of memory, and training the whole model ` +
          `takes ${formatBytes(needed)}`,
      );
    }
    const batchMs = heldMs(profile, { kind: "step", from: 0, to }, duty);
    return { node, batchMs, updateMs: heldMs(profile, { kind: "update", from: 0, to }, duty) };
  });
}

/** What members can send one another, who share their own lines with all that they exchange. */
class Links {
  readonly #pairs: readonly (readonly [number, number])[];
  readonly #copies: readonly ExchangeEdge["from"][];
  /** Bytes per millisecond of each pair, with everybody sending at once. */
  readonly #rates: readonly number[];
  readonly text: string;

  constructor(nodes: readonly FleetNode[], copies: readonly ExchangeEdge["from"][]) {
    const { pairs, text } = exchangeTopology(copies);
    const place = new Map(copies.map((copy, i) => [copy, i]));
    this.text = text;
    this.#copies = copies;
    this.#pairs = pairs.map(([from, to]) => [place.get(from) ?? 0, place.get(to) ?? 0] as const);
    const degree = pairs.length / copies.length;
    const lines = nodes.map(lineOf);
    this.#rates = this.#pairs.map(([from, to]) =>
      Math.min((lines[from]?.up ?? 0) / degree, (lines[to]?.down ?? 0) / degree),
    );
  }

  /** Milliseconds until everybody has so many bytes of everybody. */
  msOf(bytes: number): number {
    return Math.max(0, ...this.#rates.map((rate) => bytes / rate));
  }

  /** The least share of so many bytes that a link carries within a time. */
  leastShare(bytes: number, ms: number): number {
    return Math.min(1, ...this.#rates.map((rate) => (rate * ms) / bytes));
  }

  /** @param ms how long each link may take; null where it may take as long as everything does */
  edges(ms: number | null): ExchangeEdge[] {
    return this.#pairs.map(([from, to], i) => {
      const rate = this.#rates[i] as number;
      const bytes = ms === null || !Number.isFinite(rate) ? null : Math.floor(rate * ms);
      return { from: this.#copies[from] as never, to: this.#copies[to] as never, bytes };
    });
  }
}

/** What a node's own line carries each way, in bytes per millisecond. */
function lineOf({
  ceilingBytesPerMs,
  ceilingDownBytesPerMs = ceilingBytesPerMs,
  lineBytesPerMs,
}: FleetNode): { up: number; down: number } {
  const unlimited = Number.POSITIVE_INFINITY;
  return {
    up: Math.min(ceilingBytesPerMs ?? unlimited, lineBytesPerMs?.up ?? unlimited),
    down: Math.min(ceilingDownBytesPerMs ?? unlimited, lineBytesPerMs?.down ?? unlimited),
  };
}

interface Agreement {
  readonly exchange: ExchangePlan;
  /** What agreeing adds to an update. */
  readonly transferMs: number;
  readonly reason: string;
}

/** How members agree: as the job says, and else by what links carry in the time of an update. */
function agree(
  choice: ExchangeChoice,
  links: Links,
  { bytes, computeMs }: { readonly bytes: number; readonly computeMs: number },
): Agreement {
  const { staleness, join } = choice;
  const fullMs = links.msOf(bytes);
  // What goes while others compute costs no time.
  const allowedMs = computeMs * (staleness > 0 ? 1 : overhead);
  const hasRoom = fullMs <= allowedMs || links.leastShare(bytes, allowedMs) >= shareMin;
  const alone = Math.min(everyMax, Math.max(1, Math.ceil(fullMs / allowedMs)));
  const every = choice.every ?? (hasRoom || choice.select !== null ? 1 : alone);
  const isPlain = join.kind === "average" && join.clip === undefined;
  const isChosen = every === 1 && fullMs > allowedMs && isPlain;
  const select = choice.select ?? (isChosen ? { kind: "max-n", nMin: 0.85 } : { kind: "all" });
  const isLimited = select.kind === "max-n";
  const topology = links.edges(isLimited ? every * allowedMs : null);
  const outer = every === 1 ? fullExchange.outer : (choice.outer ?? fullExchange.outer);
  const spentMs = isLimited ? Math.min(fullMs, every * allowedMs) : fullMs;
  const transferMs = Math.max(0, spentMs / every - (staleness > 0 ? computeMs : 0));
  const carried = `all gradients of one take ${formatMs(fullMs)}, computing ${formatMs(computeMs)}`;
  const named = every > 1 ? `changes of weights every ${every} updates` : wordOf[select.kind];
  return {
    exchange: { every, topology, select, staleness, join, outer },
    transferMs,
    reason: `${carried}, so they exchange ${named}`,
  };
}

const wordOf = {
  all: "all gradients each update",
  "max-n": "the largest gradients of each layer, as many as links carry",
  significant: "the gradients that matter to their weights",
  parts: "one part of the gradients after the other",
} as const;
