/**
 * Micro-clouds: every node that holds data trains the whole model, and they agree from node to node while they
 * train (after Hong and Chandra, "DLion", HPDC 2021). Each takes as many batches to an update as it
 * manages in the time of the others, and gradients are weighted by batches, so that an update is exactly that
 * of one large batch. What links carry, and what updates are worth, decides how they agree: by gradients each update, or after
 * several updates by themselves.
 */
import { present } from "../base/assert.ts";
import { PlanError } from "../base/errors.ts";
import { type CopyId, chainId, copyId } from "../base/ids.ts";
import { formatBytes, formatMs } from "../base/units.ts";
import type { SparseCodecName } from "../codec/sparse.ts";
import { isPlain } from "../sync/policies.ts";
import type { TransferRules } from "../sync/transfer.ts";
import { refuseFew, roundGroup } from "./agreement.ts";
import { checkNode } from "./check-request.ts";
import { type ExchangePlan, fullExchange } from "./exchange.ts";
import { ExchangeLinks } from "./exchange-links.ts";
import { type Computed, computedIn, paces } from "./exchange-pace.ts";
import { streamRules, streamText } from "./exchange-stream.ts";
import { codedBytes, efficiencyOf, transferMsOf } from "./exchange-time.ts";
import { homeSums, keepsBase, stateSums } from "./home-bytes.ts";
import { type MemberTimes, memberTimes } from "./member-times.ts";
import { trainingBytes } from "./memory.ts";
import type { ExchangeChoice, GroupPlan, Plan, PlanRequest } from "./plan.ts";

/** What the largest entries may add to the time of an update, beside what is computed. */
const overhead = 0.25;
/** Updates that members make by themselves, at most: further apart, their mean is worth less. */
const everyMax = 64;

/** Parts that gradients are exchanged in, where links are to say how many. */
const partsMax = 64;

/** What a job has not chosen is chosen here. */
export const anyExchange: ExchangeChoice = {
  ...{
    every: null,
    inner: null,
    select: null,
    codec: null,
    reduce: null,
    staleness: 0,
    backups: null,
    outer: null,
  },
  ...{ join: { kind: "average" }, batches: "proportional" },
};

/**
 * Plans agreement from node to node.
 * @throws PlanError when no node holds data, or one has no memory for the whole model
 */
export function microClouds(request: PlanRequest): Plan {
  return exchanging(request, "micro-clouds", request.exchange ?? anyExchange);
}

/**
 * Deals batches out one by one, each to who is done with it first: so the last one is done as early as can be.
 * Everybody gets one at least.
 * @param atOnce so many instead of one
 */
export function batchesBySpeed(
  members: readonly Pick<MemberTimes, "batchMs" | "updateMs">[],
  total: number,
  atOnce = 1,
): number[] {
  const shares = members.map(() => atOnce);
  for (let dealt = atOnce * members.length; dealt < total; dealt += atOnce) {
    const done = members.map(({ batchMs, updateMs }, i) => {
      return ((shares[i] as number) + atOnce) * batchMs + updateMs;
    });
    const first = done.indexOf(Math.min(...done));
    shares[first] = (shares[first] as number) + atOnce;
  }
  return shares;
}

/** Plans agreement from node to node as a choice has it, and elsewhere as links allow. */
export function exchanging(request: PlanRequest, planner: string, choice: ExchangeChoice): Plan {
  const plan = planned(request, planner, choice);
  const { growth = 1, inner } = choice;
  const { every = 1 } = plan.groups[0]?.exchange ?? {};
  if (growth === 1) return plan;
  if (every === 1) {
    const accumulate = growth * request.accumulate;
    return planned({ ...request, accumulate }, planner, { ...choice, every });
  }
  // Who updates alone between exchanges takes more batches to each update, and not more time from one exchange to the next.
  return planned(request, planner, { ...choice, every, inner: growth * (inner ?? 1) });
}

function planned(request: PlanRequest, planner: string, choice: ExchangeChoice): Plan {
  const { segments, term, accumulate, work } = request;
  const members = membersOf(request);
  const shares =
    choice.batches === "equal"
      ? members.map(() => accumulate)
      : batchesBySpeed(members, accumulate * members.length, choice.inner ?? 1);
  const total = shares.reduce((sum, share) => sum + share, 0);
  const { computeMs } = computedIn({ every: 1, inner: null }, members, shares);
  const copies = members.map(({ node }) => copyId(`copy:${node.id}`));
  const nodes = members.map(({ node }) => node);
  const links = new ExchangeLinks(
    { nodes, links: request.fleet.links },
    copies,
    choice.topology ?? null,
  );
  const bytes = parameterBytes(segments);
  const agreed = groupOf(request, choice, links, copies);
  const mayKeep =
    !keepsBase(request) && isPlain(choice.join) && isPlain(request.join ?? choice.join);
  const updatesWanted = work / accumulate;
  const paceMsOf = paces(members, { total, inner: choice.inner ?? 1 });
  const agreement = agree(choice, links, {
    ...{ bytes, shares, members, paceMsOf, computeMs, mayKeep, updatesWanted },
    topology: links.edges(null),
    homeMsOf: (own) => homeMsOf(request, own, links),
  });
  const { exchange, updateMs, computed } = agreement;
  const { every, home } = exchange;
  const updates = every * exchangesOf(updatesWanted, every);
  const roundMs = updates * updateMs + homeMsOf(request, exchange, links);
  const { ownMs } = computed;
  const chains = members.map(({ node }) => chainId(`chain:${node.id}`));
  const reason =
    `${members.length} nodes train the whole model, ${links.text}: ${agreement.reason}; an update takes ` +
    `${total} batches, ${formatMs(updateMs)}, and is worth ${stepsText(agreement.steps)}` +
    (home === "first" ? "; all end a round with the same, so one of them brings it home" : "");
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
    groups: [
      {
        ...agreed,
        members: home === "first" ? withFirst(copies, links.nearest) : copies,
        ...{ when: "step", exchange },
      },
    ],
    limits: members.map(({ node }) => ({ node: node.id, duty: node.duty })),
    forecasts: members.map(({ node, batchMs }, i) => ({
      ...{ chain: present(chains[i], "a chain"), roundMs, computeMs: updates * (ownMs[i] ?? 0) },
      transferMs: Math.max(0, roundMs - updates * (ownMs[i] ?? 0)),
      reason:
        `${node.name} takes ${exchange.computeMs === undefined ? "" : "about "}${shares[i]} of ` +
        `${total} batches to an update, ${formatMs(batchMs)} each`,
    })),
  };
}

export const parameterBytes = (segments: PlanRequest["segments"]): number =>
  segments.reduce((sum, segment) => sum + segment.parameterBytes, 0);

/** The members, one of them before all others. */
function withFirst<T>(members: readonly T[], place: number): T[] {
  return [...members.slice(place, place + 1), ...members.filter((_, i) => i !== place)];
}

/**
 * What a round's end takes: what members bring, and what they are sent of what comes of it.
 * @param first place of who brings what all have alike
 */
export function homeMsOf(
  request: PlanRequest,
  { home, every }: Pick<ExchangePlan, "home" | "every">,
  links: ExchangeLinks,
  first = links.nearest,
): number {
  const whole = stateSums(request).at(-1) ?? 0;
  if (home === "each") {
    const up = homeSums(request).at(-1) ?? 0;
    return links.homeMs(() => ({ up, down: whole }));
  }
  const up = every === 1 ? whole : parameterBytes(request.segments);
  return links.homeMs((place) => ({ up: place === first ? up : 0, down: 0 }));
}

/**
 * How members agree at a round's end: as the job says of rounds, or else by the policy by which they join what they
 * exchange, so that who lies while all train cannot do so at the end instead.
 */
function groupOf(
  { join: atEnd }: PlanRequest,
  { join }: ExchangeChoice,
  links: ExchangeLinks,
  copies: readonly CopyId[],
): GroupPlan {
  refuseFew(join, links.voices);
  // How far a part may go says nothing of how far a whole round may.
  const { clip: _, ...policy } = join;
  return roundGroup({ join: atEnd ?? policy }, copies, copies.length);
}

function membersOf(request: PlanRequest): MemberTimes[] {
  const { fleet, segments, recompute } = request;
  const nodes = fleet.nodes.filter(({ samples }) => samples > 0);
  if (nodes.length === 0) throw new PlanError("no node holds training data");
  const to = segments.length;
  const needed = trainingBytes(segments, 0, to, { hasLoss: true, recompute });
  return nodes.map((node) => {
    checkNode(request, node);
    const { name, memoryBytes } = node;
    if (memoryBytes !== null && needed > memoryBytes) {
      throw new PlanError(
        `${name} has ${formatBytes(memoryBytes)} of memory, and training the whole model ` +
          `takes ${formatBytes(needed)}`,
      );
    }
    return memberTimes(node, to);
  });
}

interface Agreement {
  readonly exchange: ExchangePlan;
  /** What an update takes, agreeing included, and a round's end not. */
  readonly updateMs: number;
  readonly computed: Computed;
  /** Steps, one after the other, that an update is worth. */
  readonly steps: number;
  readonly reason: string;
}

/**
 * How members agree: as the job says, and in what it leaves open so that an update takes least for what it is worth, a round's
 * end included.
 */
function agree(choice: ExchangeChoice, links: ExchangeLinks, given: AgreeOptions): Agreement {
  const { bytes, members, shares, computeMs, updatesWanted } = given;
  const options = wishesOf(choice).map((wish) => {
    const own = exchangeFor(wish, choice, links, given);
    const { every } = own.exchange;
    const updates = every * exchangesOf(updatesWanted, every);
    const computed = computedIn(own.exchange, members, shares);
    const costs = { bytes, computeMs: computed.computeMs, updates };
    const updateMs = computed.computeMs + transferMsOf(own.exchange, links, costs);
    // Over the updates that the job wants: longer rounds are no merit of exchanging seldom.
    const ms = updateMs + given.homeMsOf(own.exchange) / updatesWanted;
    const batches = computed.managed / members.length;
    const efficiency = efficiencyOf(own.exchange, { bytes, batches });
    const pricedMs = ((ms / efficiency) * computed.planned) / computed.managed;
    return { ...own, computed, updateMs, steps: efficiency * batches, pricedMs };
  });
  const best = options.reduce((a, b) => (b.pricedMs < a.pricedMs ? b : a));
  const { exchange, computed, updateMs, steps, text } = best;
  const { every, codec, select, reduce } = exchange;
  const { stream: _, ...plain } = exchange;
  const whole = { ...plain, every: 1, select: everything, codec: "float32" } as const;
  const allMs = transferMsOf({ ...whole, staleness: 0 }, links, { bytes, computeMs, updates: 1 });
  const carried = `all gradients take ${formatMs(allMs)}, computing ${formatMs(computed.computeMs)}`;
  const named = every > 1 ? `changes of weights every ${every} updates` : wordOf[select.kind];
  const how = `${codedAs[codec]}${reduce === "scatter" ? ", each joining a slice for all" : ""}`;
  const paced =
    exchange.computeMs === undefined
      ? ""
      : `, each as many batches as it manages in ${formatMs(exchange.computeMs)} between two`;
  const reason = `${carried}, so they exchange ${named}${how}${paced}${text}`;
  return { exchange, updateMs, computed, steps, reason };
}

/** The plan of an exchange of what is to be exchanged, and what to say of weights that are taken over. */
function exchangeFor(
  { every, codec, wish }: Wish,
  choice: ExchangeChoice,
  links: ExchangeLinks,
  { bytes, computeMs, paceMsOf, mayKeep, updatesWanted, topology }: AgreeOptions,
): { readonly exchange: ExchangePlan; readonly text: string } {
  const { staleness, backups, join } = choice;
  const reduce = reductionOf(choice, links);
  const coded = codedBytes(bytes, codec);
  const allMs = reduce === "scatter" ? links.scatterMs(coded) : links.meshMs(coded);
  const parts = Math.max(1, Math.min(partsMax, Math.ceil(allMs / computeMs)));
  const select = wish.kind === "parts" ? { ...wish, parts: wish.parts ?? parts } : wish;
  const [isAll, isLimited] = [select.kind === "all", select.kind === "max-n"];
  const outer = every === 1 ? fullExchange.outer : (choice.outer ?? fullExchange.outer);
  const stream =
    choice.stream === undefined ? null : streamRules(choice.stream, { every, allMs, computeMs });
  const isSame = links.isMesh && isAll && staleness === 0;
  const exchanges = exchangesOf(updatesWanted, every);
  const { transfer, text: taken } = transferOf(choice, { isSame, exchanges });
  const inner = choice.inner ?? 1;
  const isPaced =
    every > 1 && choice.batches === "proportional" && staleness === 0 && stream === null;
  const exchange: ExchangePlan = {
    ...{ every, inner: every === 1 ? null : inner },
    ...(isPaced && { computeMs: paceMsOf(every) }),
    ...(transfer !== null && { transfer }),
    ...(stream !== null && { stream }),
    ...{ select, codec, staleness, backups, join, outer },
    topology: isLimited ? links.edges(every * allowedMs(choice, computeMs)) : topology,
    reduce: isAll ? reduce : "each",
    home: mayKeep && isSame ? "first" : "each",
  };
  const text = stream === null ? taken : `,${streamText(stream)}${taken}`;
  return { exchange, text };
}

/** How long the largest entries may take beside an update: what goes while others compute costs no time. */
const allowedMs = ({ staleness }: ExchangeChoice, computeMs: number): number =>
  computeMs * (staleness > 0 ? 1 : overhead);

/** What members could exchange, and how often. */
interface Wish {
  readonly every: number;
  readonly codec: SparseCodecName;
  readonly wish: NonNullable<ExchangeChoice["select"]>;
}

const everything = { kind: "all" } as const;

/**
 * What a job leaves open: gradients each update, or changes of weights after so many; as they are or in codes. Of gradients, the
 * largest alone where a job wants them each update: else steps by oneself are worth more.
 */
function wishesOf(choice: ExchangeChoice): Wish[] {
  const { select, join, codec: chosen } = choice;
  // Who names entries, or weighs parts against one another, has them as they are.
  const mayCode = select === null && isPlain(join);
  const codecsFor = (every: number): readonly SparseCodecName[] => {
    if (chosen !== null) return [chosen];
    if (!mayCode) return ["float32"];
    // What 4 bits cost was measured of changes alone.
    return every === 1 ? ["float32", "affine8"] : ["float32", "affine8", "affine4"];
  };
  const { stream } = choice;
  const most = select === null || stream !== undefined ? everyMax : 1;
  // Each fragment has as many updates as any other.
  const { fragments } = stream ?? { fragments: 1 };
  const some = Array.from({ length: Math.max(1, Math.floor(most / fragments)) }, (_, i) => {
    return fragments * (i + 1);
  });
  const open = stream === undefined ? some : some.filter((every) => every > 1);
  const often = choice.every === null ? open : [choice.every];
  const wishes = often.flatMap((every) =>
    codecsFor(every).map((codec): Wish => ({ every, codec, wish: select ?? everything })),
  );
  if (mayCode && choice.every === 1) {
    wishes.push({ every: 1, codec: chosen ?? "float32", wish: { kind: "max-n", nMin: 0.85 } });
  }
  return wishes;
}

const codedAs: Record<SparseCodecName, string> = {
  float32: "",
  affine8: " in 8 bits a value",
  affine4: " in 4 bits a value",
};

/** When weights are transferred, as far as the job wants it and there is anything to it; and what to say of it. */
function transferOf(
  { transfer }: ExchangeChoice,
  { isSame, exchanges }: { readonly isSame: boolean; readonly exchanges: number },
): { readonly transfer: TransferRules | null; readonly text: string } {
  if (transfer === undefined) return { transfer: null, text: "" };
  const { every, mix, margin } = transfer;
  if (isSame) {
    return { transfer: null, text: "; all have the same weights: there are none to take over" };
  }
  if (exchanges <= every) {
    const text = `; a round has ${exchanges} exchanges, too few to take over weights every ${every}`;
    return { transfer: null, text };
  }
  const text =
    `; every ${every} exchanges, who loses ${percent(margin)} more than a neighbour goes ` +
    `${percent(mix)} of the way to its weights, where that does better on held-out samples of its own`;
  return { transfer, text };
}

const percent = (share: number): string => `${Number((100 * share).toFixed(1))} %`;

/** What agreeing depends on, beside what the job says and what links carry. */
interface AgreeOptions {
  readonly bytes: number;
  readonly members: readonly MemberTimes[];
  /** Batches to an update of each, and what the slowest computes for those. */
  readonly shares: readonly number[];
  readonly computeMs: number;
  /** How long members compute for as many updates as there are from one exchange to the next. */
  paceMsOf(every: number): number;
  /** Whether members may go on with what they have, as it travels as it is. */
  readonly mayKeep: boolean;
  /** Updates that the job wants of a round, which has whole exchanges. */
  readonly updatesWanted: number;
  /** Who sends whom, as much as there is. */
  readonly topology: ExchangePlan["topology"];
  /** What a round's end takes. */
  readonly homeMsOf: (exchange: ExchangePlan) => number;
}

const exchangesOf = (updates: number, every: number): number =>
  Math.max(1, Math.round(updates / every));

/** Who joins what, where all entries go. @throws PlanError where the job wants slices, and nobody may join one for all */
function reductionOf(
  { reduce, staleness, join }: ExchangeChoice,
  { isMesh }: ExchangeLinks,
): ExchangePlan["reduce"] {
  const mayScatter = isMesh && staleness === 0 && isPlain(join);
  if (reduce === "scatter" && !mayScatter) {
    throw new PlanError(
      "members join slices for one another where everybody exchanges with everybody, waits for all, and takes the plain average",
    );
  }
  return reduce ?? (mayScatter ? "scatter" : "each");
}

const stepsText = (steps: number): string =>
  `${steps.toPrecision(2)} step${steps === 1 ? "" : "s"}`;

const wordOf = {
  all: "all gradients each update",
  "max-n": "the largest gradients of each layer, as many as links carry",
  significant: "the gradients that matter to their weights",
  parts: "one part of the gradients after the other",
} as const;
