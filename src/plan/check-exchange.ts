/** Checks what a plan says of exchanges, as a part of `check.ts`. */
import type { CopyId } from "../base/ids.ts";
import { isPlain } from "../sync/policies.ts";
import { delayMax } from "../sync/streaming.ts";
import type { ExchangePlan } from "./exchange.ts";
import type { ChainPlan, Plan } from "./plan.ts";

/** Ends with the plan's name for what is wrong, where a fact does not hold. */
type Check = (fact: boolean, text: string) => asserts fact;

/**
 * Holds where exchanges mean something: lone stages that cover the same segments on different nodes, with as many
 * updates to a round, whole exchanges of them, and edges between members.
 */
export function checkExchanges(plan: Plan, check: Check): void {
  const chainOf = new Map(
    plan.chains.flatMap((chain) => chain.stages.map(({ copy }) => [copy, chain] as const)),
  );
  const exchanging = new Set<string>();
  for (const { when, exchange, members } of plan.groups) {
    check(
      (when === "step") === (exchange !== undefined),
      `a group agrees each ${when} ${exchange === undefined ? "without" : "with"} an exchange`,
    );
    if (exchange === undefined) continue;
    const updates = new Set<number>();
    for (const member of members) {
      const chain = chainOf.get(member);
      check(
        chain?.stages.length === 1,
        `${member} exchanges and is not the only stage of its chain`,
      );
      const { id, work, microBatches = 0 } = chain;
      exchanging.add(id);
      const isWhole =
        Number.isInteger(microBatches) && microBatches >= 1 && work % microBatches === 0;
      check(isWhole, `${id} has ${work} batches a round and ${microBatches} to an update`);
      updates.add(work / microBatches);
    }
    const [first = 0] = updates;
    check(updates.size === 1, "members of one exchange have unequally many updates to a round");
    const { every, inner } = exchange;
    check(
      inner === null || (every > 1 && members.every((own) => isDivided(chainOf.get(own), inner))),
      `members update by themselves after ${inner} batches, which is no part of what they take`,
    );
    check(
      Number.isInteger(every) && every >= 1 && first % every === 0,
      `there is an exchange every ${every} updates; a round has ${first}`,
    );
    checkTopology(exchange, members, check);
    checkTogether(exchange, members, check);
    checkRules(exchange, check);
  }
  for (const { id, microBatches } of plan.chains) {
    check(
      microBatches === undefined || exchanging.has(id),
      `${id} has its own number of batches to an update and exchanges nothing`,
    );
  }
  checkNodes(plan, check);
}

const isDivided = (chain: ChainPlan | undefined, inner: number): boolean =>
  Number.isInteger(inner) && inner >= 1 && (chain?.microBatches ?? 0) % inner === 0;

function checkTopology(
  { topology, select }: ExchangePlan,
  members: readonly CopyId[],
  check: Check,
): void {
  const known = new Set(members);
  const edges = new Set<string>();
  for (const { from, to, bytes } of topology) {
    const edge = `from ${from} to ${to}`;
    check(known.has(from) && known.has(to) && from !== to, `${edge} is no way between two members`);
    check(!edges.has(edge), `there are two edges ${edge}`);
    edges.add(edge);
    check(
      bytes === null || (select.kind === "max-n" && Number.isInteger(bytes) && bytes >= 0),
      `the edge ${edge} has ${bytes} bytes; allowed: a whole number where max-n chooses`,
    );
  }
}

/**
 * Members come to the same, and can join slices for one another, where each joins the same parts: all of everybody, in time.
 * The part of a plan that a node is sent has no more edges than its own, so somebody has to be in touch with all others.
 */
function checkTogether(
  { home, reduce, topology, select, staleness, join }: ExchangePlan,
  members: readonly CopyId[],
  check: Check,
): void {
  check(
    reduce === "each" || isPlain(join),
    `${join.kind} weighs whole parts, and each joins a slice`,
  );
  if (home === "each" && reduce === "each") return;
  const edges = new Set(topology.map(({ from, to }) => `${from} ${to}`));
  const isMet = members.some((own) =>
    members.every((other) => {
      return own === other || (edges.has(`${own} ${other}`) && edges.has(`${other} ${own}`));
    }),
  );
  check(
    select.kind === "all" && staleness === 0 && isMet,
    "members are to come to the same, and do not all join the same",
  );
}

function checkRules(exchange: ExchangePlan, check: Check): void {
  const { every, select, staleness, backups, join, outer, computeMs, stream } = exchange;
  const { liars = 0, clip = 1 } = join;
  check(Number.isInteger(staleness) && staleness >= 0, `a staleness of ${staleness}`);
  const isCount = backups === null || (Number.isInteger(backups) && backups >= 0);
  check(
    isCount && (backups === null || staleness > 0),
    `${backups} neighbours may be behind, with a staleness of ${staleness}`,
  );
  check(
    Number.isInteger(liars) && liars >= 0 && clip > 0,
    `${liars} liars, parts clipped to ${clip}`,
  );
  const isDense = select.kind === "all" && staleness === 0;
  check(
    isDense || isPlain(join),
    `${join.kind} weighs whole parts of all members, not ${select.kind} of late ones`,
  );
  const { rate, momentum } = outer;
  check(
    rate > 0 && momentum >= 0 && momentum < 1,
    `an outer step of ${rate} with momentum ${momentum}`,
  );
  check(every > 1 || (rate === 1 && momentum === 0), "an outer step needs local ones");
  const isPaced = computeMs !== undefined;
  check(
    !isPaced || (Number.isFinite(computeMs) && computeMs > 0),
    `members compute for ${computeMs} ms`,
  );
  check(
    !isPaced || (every > 1 && staleness === 0 && stream === undefined),
    "members compute for a time where they exchange changes of weights, all at once and in time",
  );
  checkTransfer(exchange, check);
  checkStream(exchange, check);
  switch (select.kind) {
    case "all":
      return;
    case "max-n":
      return check(select.nMin > 0 && select.nMin <= 100, `max-n has a floor of ${select.nMin}`);
    case "significant":
      return check(select.share > 0, `significance of ${select.share}`);
    case "parts":
      return check(Number.isInteger(select.parts) && select.parts >= 1, `${select.parts} parts`);
  }
}

function checkTransfer({ transfer, home }: ExchangePlan, check: Check): void {
  if (transfer === undefined) return;
  const { every, mix, margin } = transfer;
  check(Number.isInteger(every) && every >= 1, `a transfer every ${every} exchanges`);
  check(mix > 0 && mix <= 1, `transfers of a share of ${mix}`);
  check(margin >= 0 && margin < 1, `transfers from a margin of ${margin} on`);
  check(home === "each", "members that come to the same have nothing to transfer");
}

function checkStream(
  { stream, every, select, staleness, transfer }: ExchangePlan,
  check: Check,
): void {
  if (stream === undefined) return;
  const { fragments, delay, mix } = stream;
  check(
    Number.isInteger(fragments) && fragments >= 1 && fragments <= every,
    `${fragments} fragments in ${every} updates`,
  );
  const most = delayMax(every, fragments);
  check(
    Number.isInteger(delay) && delay >= 1 && delay <= most,
    `a fragment is under way for ${delay} updates; allowed: 1 to ${most}`,
  );
  check(mix >= 0 && mix < 1, `a member keeps ${mix} of its own updates of a fragment`);
  check(
    every > 1 && select.kind === "all" && staleness === 0 && transfer === undefined,
    "fragments are of changes of weights, all of them, in time, and no weights are taken over",
  );
}

/** Messages between two nodes say whose chain they are of, so that each has one member at most. */
function checkNodes({ groups, copies }: Plan, check: Check): void {
  const members = new Set(groups.flatMap((group) => (group.when === "step" ? group.members : [])));
  const nodes = new Set<string>();
  for (const { id, node } of copies) {
    if (!members.has(id)) continue;
    check(!nodes.has(node), `${node} has two members of exchanges`);
    nodes.add(node);
  }
}
