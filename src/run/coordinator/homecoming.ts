/**
 * What members of an exchange did while the coordinator was away, or could not reach them: taken while it waits
 * for its nodes, and committed as one round before the next plan (rule R26 of `docs/protocol.md`).
 */
import { present } from "../../base/assert.ts";
import { chainId, type NodeId } from "../../base/ids.ts";
import type { Tensor } from "../../base/tensor.ts";
import { broughtKinds } from "../../plan/exchange.ts";
import { exchangeOf, goesOnAlone } from "../../plan/exchange-members.ts";
import { inRound } from "../../plan/phases.ts";
import type { ChainPlan, CopyPlan, Plan } from "../../plan/plan.ts";
import type { Cancel, Host } from "../host.ts";
import {
  type AloneRound,
  batchesTaken,
  type Joined,
  type RoundCommitted,
} from "../metrics/record.ts";
import type { Tensors } from "../wire/frame.ts";
import type { AloneMessage, ContributionMessage, WelcomeMessage } from "../wire/messages.ts";
import { firstNotFinite } from "./contribution-checks.ts";
import { tookOf } from "./joined.ts";
import type { Member } from "./members.ts";
import { meanLoss } from "./merge.ts";
import type { Roster } from "./roster.ts";
import { Round } from "./round.ts";
import type { BroughtTensors } from "./round-chains.ts";
import { roundCosts } from "./round-costs.ts";
import { roundDeadlines } from "./round-decision.ts";
import type { RoundsAround } from "./rounds-around.ts";

/** A round of everybody's that was made without the coordinator, and what it gave. */
interface Homecome {
  readonly record: RoundCommitted;
  readonly merged: ReadonlyMap<string, Tensor>;
}

/** The plan that rounds were of, and the first that is not committed. */
interface Awaited {
  readonly plan: Plan;
  readonly round: number;
}

/** What a member has brought. */
interface Brought {
  readonly member: Member;
  readonly message: ContributionMessage;
  readonly tensors: Tensors;
}

export class Homecoming {
  readonly #host: Host;
  readonly #members: Roster;
  readonly #around: RoundsAround;
  readonly #onTime: () => void;
  /** The plan that the rounds are of, and the first that is not committed; null where nobody is waited for. */
  #awaited: Awaited | null = null;
  readonly #brought = new Map<NodeId, Brought>();
  /** Members that were asked, and the rounds that they say they are in; null for none. */
  readonly #asked = new Set<Member>();
  readonly #told = new Map<Member, number | null>();
  #untilMs = Number.POSITIVE_INFINITY;
  #timer: Cancel = () => {};

  /** @param onTime called when time alone may have changed what is waited for */
  constructor(host: Host, members: Roster, around: RoundsAround, onTime: () => void) {
    this.#host = host;
    this.#members = members;
    this.#around = around;
    this.#onTime = onTime;
  }

  /**
   * What a member is told that comes back.
   * @param plan the newest; null before the first, and where the coordinator does not wait for its nodes
   * @param round the next one
   */
  ask(member: Member, plan: Plan | null, round: number): WelcomeMessage["awaits"] {
    if (plan === null || !goesOnAlone(plan)) return undefined;
    if (this.#awaited?.plan !== plan || this.#awaited.round !== round) this.#over();
    this.#awaited ??= { plan, round };
    this.#asked.add(member);
    return { term: plan.term, round };
  }

  #over(): void {
    this.#awaited = null;
    this.#brought.clear();
    this.#asked.clear();
    this.#told.clear();
    this.#untilMs = Number.POSITIVE_INFINITY;
    this.#timer();
  }

  /** A member says which round it is in. */
  told(member: Member, { term, round }: AloneMessage): void {
    if (term === this.#awaited?.plan.term) this.#told.set(member, round);
  }

  /** A member brings what it has done; who brings what does not fit is sent away. What nobody waits for is void. */
  take(member: Member, message: ContributionMessage, tensors: Tensors): void {
    const { plan, round } = this.#awaited ?? {};
    if (plan === undefined || round === undefined || message.term !== plan.term) return;
    const chain = this.#chainOf(member, message.chain);
    if (chain === undefined || !isInOrder(message, round)) return;
    const copy = present(
      plan.copies.find(({ id }) => id === chain.stages[0]?.copy),
      "a copy",
    );
    const kinds = broughtKinds(exchangeOf(plan, copy.id), false);
    const values = this.#around.state.read(copy, tensors, () => null, kinds);
    if (typeof values === "string") {
      return member.channel.close(`sent a contribution with ${values}`);
    }
    const problem = firstNotFinite(values);
    if (problem === null) this.#brought.set(member.id, { member, message, tensors: values });
  }

  /** The chain that a member trains, where that is the one that it speaks of. */
  #chainOf({ id }: Member, chain: string): ChainPlan | undefined {
    return this.#awaited?.plan.chains.find((one) => one.source === id && one.id === chain);
  }

  #isThere(member: Member): boolean {
    return this.#members.get(member.id) === member;
  }

  /** Those who are there and have been alone. */
  get #those(): NodeId[] {
    const all = [...this.#told].filter(
      ([member, round]) => round !== null && this.#isThere(member),
    );
    return all.map(([{ id }]) => id);
  }

  #roundOf(id: NodeId): number {
    return this.#brought.get(id)?.message.round ?? -1;
  }

  /** Whether all has come that is on its way: what somebody was last in, everybody comes to. */
  #isSettled(plan: Plan): boolean {
    const isHeard = [...this.#asked].every((own) => this.#told.has(own) || !this.#isThere(own));
    if (isHeard && this.#those.length === 0) return true;
    const nowMs = this.#host.now();
    if (this.#untilMs === Number.POSITIVE_INFINITY) {
      const { lastMs } = roundDeadlines(plan, this.#around.policy);
      this.#untilMs = nowMs + lastMs;
      this.#timer = this.#host.after(lastMs, this.#onTime);
    }
    if (nowMs >= this.#untilMs) return true;
    const last = this.#those.filter((id) => this.#brought.get(id)?.message.alone?.isLast);
    const newest = Math.max(...last.map((id) => this.#roundOf(id)));
    return isHeard && last.length > 0 && this.#those.every((id) => this.#roundOf(id) >= newest);
  }

  /** Everybody is there who is waited for: what they have brought; null where nothing has come and nothing will. */
  gather(): Homecome | "wait" | null {
    if (this.#awaited === null) return null;
    if (!this.#isSettled(this.#awaited.plan)) return "wait";
    const home = this.#gather(this.#awaited);
    this.#over();
    return home;
  }

  /** What has come, as one round: the newest that somebody has brought, of all who have. */
  #gather({ plan, round: number }: Awaited): Homecome | null {
    const newest = Math.max(...this.#those.map((id) => this.#roundOf(id)));
    if (newest < number) return null;
    const own = inRound(plan, number);
    const those = this.#those.flatMap((id) => {
      const brought = this.#brought.get(id);
      return brought?.message.round === newest ? [brought] : [];
    });
    const [{ message }] = those as [Brought];
    const { learningRate = 0, before = [] } = message.alone ?? {};
    const nowMs = this.#host.now();
    const round = new Round(own, {
      ...{ number, startedMs: nowMs, deadlineMs: nowMs, lastDeadlineMs: nowMs },
      ...{ learningRate, quorum: 0, interim: null },
      firstStepOf: (chain) => {
        const own = those.find(({ member }) => member.id === chain.source)?.message.alone?.before;
        const rounds = (own ?? before).map(({ took }) => batchesTaken({ chain: chain.id, took }));
        const drawn = rounds.reduce((sum: number, taken) => sum + (taken ?? chain.work), 0);
        return this.#around.draws.next(chain.source) + drawn;
      },
    });
    for (const { id, source } of own.chains) {
      if (!those.some(({ member }) => member.id === source)) {
        round.drop(id, "it was not there when the others came back");
      }
    }
    const first = this.#firstOf(own, those);
    for (const one of those) this.#put(round, one, { number, isFirst: one === first });
    const { samplesOf } = this.#members;
    const participants = round.participants(samplesOf);
    const record: RoundCommitted = {
      ...{ type: "round", round: number, term: plan.term, learningRate, ms: 0 },
      ...{ loss: meanLoss(participants), participants },
      ...(before.length > 0 && { alone: aloneRounds(those) }),
      dropped: round.dropped(),
      nodes: roundCosts(this.#members, round.costs()),
    };
    this.#around.draws.committed(plan, record);
    const base = (name: string): Tensor => present(this.#around.state.committed(name), name);
    return { record, merged: round.merge(samplesOf, base) };
  }

  /** Whose weights are everybody's: the first member's who has brought some. */
  #firstOf({ groups }: Plan, those: readonly Brought[]): Brought | undefined {
    const order: readonly string[] = groups.flatMap(({ members }) => members);
    return those.toSorted((a, b) => {
      return order.indexOf(a.message.copy) - order.indexOf(b.message.copy);
    })[0];
  }

  /** What a member has brought goes into the round: of all but the first, what each has by itself. */
  #put(
    round: Round,
    { member, message, tensors }: Brought,
    { number, isFirst }: { readonly number: number; readonly isFirst: boolean },
  ): void {
    // Members train whole chains alone: they have no links whose codecs remember anything.
    const none = new Map();
    const { isRest: _, ...all } = { ...message, round: number };
    if (isFirst) round.take(member.id, all, () => ({ tensors, memory: none }));
    else {
      const statisticsOf = (copy: CopyPlan): BroughtTensors => {
        const names = new Set(this.#around.state.movedIn([copy], ["statistic"]));
        return { tensors: new Map([...tensors].filter(([name]) => names.has(name))), memory: none };
      };
      round.take(member.id, { ...all, isRest: true }, statisticsOf);
    }
  }
}

/** The rounds before the last one, with what each member says of it. */
function aloneRounds(those: readonly Brought[]): AloneRound[] {
  const [first] = those;
  const isOut = (chain: string): boolean => !those.some(({ message }) => message.chain === chain);
  return (first?.message.alone?.before ?? []).map(({ learningRate }, i) => ({
    learningRate,
    participants: those.map(({ message }) => {
      const { joined, took } = message.alone?.before[i] ?? {};
      return {
        chain: chainId(message.chain),
        ...tookOf({ chain: message.chain, took }, isOut),
        ...(joined !== undefined && { joined: [...joined] as Joined[] }),
      };
    }),
  }));
}

/** Whether a contribution is of rounds from this one on, each once. */
function isInOrder(message: ContributionMessage, first: number): boolean {
  const rounds = [...(message.alone?.before ?? []), message].map(({ round }) => round);
  return message.alone !== undefined && rounds.every((round, i) => round === first + i);
}
