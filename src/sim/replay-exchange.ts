/**
 * The replay of a round whose members agreed while they trained: all of them step by step in one process, each
 * joining of the others what the log says. Whoever was dropped is followed as well, for what others
 * had of it by then; what it joined itself, it had told them with each part.
 */
import { present } from "../base/assert.ts";
import type { CopyId } from "../base/ids.ts";
import type { Tensor } from "../base/tensor.ts";
import { broughtKinds, type ExchangePlan } from "../plan/exchange.ts";
import type { GroupPlan } from "../plan/plan.ts";
import type { Transfer } from "../run/metrics/record.ts";
import type { SharedPart } from "../sync/joining.ts";
import { type ExchangeTime, exchangeTimes } from "../sync/streaming.ts";
import type { TransferRules } from "../sync/transfer.ts";
import { type ExchangeRound, MemberReplay, type Shared } from "./replay-member.ts";

/** What each copy came to that is a member of an exchange. */
export async function replayExchanges(
  round: ExchangeRound,
): Promise<Map<CopyId, Map<string, Tensor>>> {
  const results = new Map<CopyId, Map<string, Tensor>>();
  for (const group of round.plan.groups) {
    if (group.exchange === undefined) continue;
    const members = membersOf(round, group, group.exchange);
    const { alone = [], ...last } = round.record;
    // Those that they made alone are not merged: each goes on with what it has.
    for (const [i, each] of [...alone, last].entries()) {
      for (const member of members) member.enter(each, alone.slice(0, i));
      await trainTogether(members, group.exchange);
    }
    const baseOf = (name: string): Tensor => present(round.trained.get(name), name);
    // Of those who come to the same the first one brings it.
    const first = members.find(({ isParticipant }) => isParticipant);
    for (const member of members) {
      const origin = { copy: member.copy.id, round: round.record.round };
      const values = member.tensors(broughtKinds(group.exchange, member !== first));
      results.set(member.copy.id, round.updates.asBrought({ values, baseOf }, origin));
    }
  }
  return results;
}

function membersOf(round: ExchangeRound, group: GroupPlan, exchange: ExchangePlan): MemberReplay[] {
  const { plan, record } = round;
  return group.members.map((id) => {
    const copy = present(
      plan.copies.find((one) => one.id === id),
      id,
    );
    const chain = present(
      plan.chains.find(({ stages }) => stages[0]?.copy === id),
      id,
    );
    const brought = record.participants.find((one) => one.chain === chain.id);
    return new MemberReplay(round, { group, exchange, copy, chain, brought });
  });
}

async function trainTogether(
  members: readonly MemberReplay[],
  exchange: ExchangePlan,
): Promise<void> {
  const { every, reduce, transfer } = exchange;
  const versions = new Versions(members);
  const [first] = members;
  const updates = present(first, "a member").updates;
  for (const member of members) member.begin();
  const shared: Shared = new Map(members.map(({ copy }) => [copy.id, []]));
  const steps = new LocalExchanges(members, exchange, shared);
  for (let update = 0; update < updates; update++) {
    for (const member of members) {
      if (every === 1) await member.sum(update);
      else await member.trainAlone(update);
    }
    if (every > 1) steps.after(update + 1);
    else {
      for (const [i, joint] of agree(members, reduce, shared).entries()) members[i]?.goOn(joint);
      for (const member of members) await member.update();
    }
    const isAgreed = (update + 1) % every === 0;
    if (transfer !== undefined && isAgreed) versions.transfer((update + 1) / every, transfer);
  }
}

/** One exchange of all: what came of it for each. */
function agree(
  members: readonly MemberReplay[],
  reduce: ExchangePlan["reduce"],
  shared: Shared,
  fragment: number | null = null,
): Float32Array[][] {
  const own = members.map((member) => {
    const { own: part, sent } = member.share(fragment);
    present(shared.get(member.copy.id), "its parts").push(sent);
    return part;
  });
  const parts = members.map((member, i) => {
    return member.parts(present(own[i], "an own part"), shared);
  });
  if (reduce === "each") return members.map((member, i) => member.join(parts[i] ?? []));
  return gatherAll(members, parts, shared);
}

/** Exchanges of members that make updates by themselves, each at its time. */
class LocalExchanges {
  readonly #members: readonly MemberReplay[];
  readonly #exchange: ExchangePlan;
  readonly #shared: Shared;
  readonly #times: ExchangeTime[];
  #underWay: { readonly time: ExchangeTime; readonly joint: Float32Array[][] } | null = null;

  constructor(members: readonly MemberReplay[], exchange: ExchangePlan, shared: Shared) {
    this.#members = members;
    this.#exchange = exchange;
    this.#shared = shared;
    this.#times = exchangeTimes(exchange, present(members[0], "a member").updates);
  }

  /** So many updates of the round are done. */
  after(updates: number): void {
    this.#goOn(updates);
    if (this.#times[0]?.sharedAt !== updates) return;
    const time = present(this.#times.shift(), "an exchange");
    const joint = agree(this.#members, this.#exchange.reduce, this.#shared, time.fragment);
    this.#underWay = { time, joint };
    this.#goOn(updates);
  }

  #goOn(updates: number): void {
    const underWay = this.#underWay;
    if (underWay?.time.joinedAt !== updates) return;
    this.#underWay = null;
    const { fragment } = underWay.time;
    for (const [i, member] of this.#members.entries()) {
      const joint = present(underWay.joint[i], "what came of it");
      if (fragment === null) member.goOn(joint);
      else member.mix(joint);
    }
  }
}

/** Weights of members after each exchange that others took over. */
class Versions {
  readonly #members: readonly MemberReplay[];
  /** By chain and version. */
  readonly #kept = new Map<string, readonly Float32Array[]>();
  readonly #wanted: ReadonlySet<string>;

  constructor(members: readonly MemberReplay[]) {
    this.#members = members;
    this.#wanted = new Set(members.flatMap(({ taken }) => taken.map(versionKey)));
  }

  /** So many exchanges are done: those who did then take weights over, as they were before anybody did. */
  transfer(exchanges: number, rules: TransferRules): void {
    for (const member of this.#members) {
      const key = versionKey({ chain: member.chain.id, version: exchanges });
      if (this.#wanted.has(key)) this.#kept.set(key, member.weights);
    }
    for (const member of this.#members) {
      for (const one of member.taken.filter(({ at }) => at === exchanges)) {
        member.takeOver(present(this.#kept.get(versionKey(one)), versionKey(one)), rules);
      }
    }
  }
}

const versionKey = ({ chain, version }: Pick<Transfer, "chain" | "version">): string =>
  `${version} of ${chain}`;

/** Each joins its slice, and puts together what came of all. */
function gatherAll(
  members: readonly MemberReplay[],
  parts: readonly (readonly SharedPart[])[],
  shared: Shared,
): Float32Array[][] {
  const reduced = members.map((member, i) => {
    const { own, sent } = member.reduce(parts[i] ?? []);
    present(shared.get(member.copy.id), "its parts").push(sent);
    return own;
  });
  return members.map((member, i) => member.gather(present(reduced[i], "an own slice"), shared));
}
