/**
 * Who gives a node what it lacks: of members of an exchange who all have the same, one that has it hands it on to
 * one that has joined, straight, and the coordinator says only what it must come to. What cannot be had so it
 * sends itself.
 */
import type { ChainId, CopyId, NodeId } from "../../base/ids.ts";
import { digestOf } from "../../base/sha256.ts";
import type { Tensor } from "../../base/tensor.ts";
import { givenKinds } from "../../plan/exchange.ts";
import { exchangeOf } from "../../plan/exchange-members.ts";
import type { Plan } from "../../plan/plan.ts";
import type { Host } from "../host.ts";
import type { Tensors } from "../wire/frame.ts";
import type { BeginMessage } from "../wire/messages.ts";
import { canMeet } from "./introductions.ts";
import type { Member } from "./members.ts";
import type { NodeStart } from "./rounds-around.ts";
import type { TrainingState } from "./training-state.ts";

/** What a `begin` says of it. */
type Said = Pick<BeginMessage, "given" | "gives">;

/** A member whose copy another one has. */
interface Pair {
  readonly giver: Member;
  readonly chain: ChainId;
  readonly copy: CopyId;
}

/** What a member is to be given, until it has begun or the round is over. */
interface Promised {
  readonly member: Member;
  readonly chain: ChainId;
  readonly tensors: Tensors;
}

export class Givers {
  readonly #after: Host["after"];
  readonly #state: TrainingState;
  #at = { term: -1, round: -1 };
  /** By who is given something. */
  #pairs: ReadonlyMap<Member, Pair> = new Map();
  readonly #promised = new Map<NodeId, Promised>();

  constructor(host: Host, state: TrainingState) {
    this.#after = (ms, call) => host.after(ms, call);
    this.#state = state;
  }

  /** A round begins: who is given something by whom. What was to be given before is so no more. */
  begin(plan: Plan, round: number, starts: readonly NodeStart[]): void {
    this.#at = { term: plan.term, round };
    this.#promised.clear();
    this.#pairs = pairsOf(plan, starts);
  }

  /**
   * What a member is told; what it is to be given leaves what it is sent.
   * @param needed all that it lacks
   */
  say(plan: Plan, member: Member, needed: Map<string, Tensor>): Said {
    const gives = [...this.#pairs].flatMap(([to, { giver }]) => (giver === member ? [to.id] : []));
    const said = gives.length === 0 ? {} : { gives };
    const pair = this.#pairs.get(member);
    if (pair === undefined) return said;
    const { copy, chain } = pair;
    const exchange = exchangeOf(plan, copy);
    const own = plan.copies.find(({ id }) => id === copy);
    if (exchange === null || own === undefined) return said;
    const given = this.#state.movedIn([own], givenKinds(exchange));
    const tensors = new Map<string, Tensor>();
    for (const name of given) {
      const value = needed.get(name);
      if (value === undefined) continue;
      tensors.set(name, value);
      needed.delete(name);
    }
    const source = plan.chains.find(({ stages }) => stages[0]?.copy === copy);
    if (source === undefined) return said;
    this.#promise({ member, chain: source.id, tensors });
    return { ...said, given: { copy, chain, names: [...tensors.keys()] } };
  }

  #promise(promised: Promised): void {
    const { member, tensors } = promised;
    this.#promised.set(member.id, promised);
    const at = this.#at;
    const tell = (digest: string | null): void => {
      if (this.#promised.get(member.id) !== promised) return;
      member.channel.send({ type: "digest", ...at, digest });
    };
    // It follows the `begin` that this is said for.
    this.#after(0, () => digestOf([...tensors.values()], this.#after, tell));
  }

  /** A member has not been given what it was to be, or something else: it is sent that. */
  lacks(member: Member, { term, round }: { term: number; round: number }): void {
    const promised = this.#promised.get(member.id);
    if (promised?.member !== member || term !== this.#at.term || round !== this.#at.round) return;
    this.#promised.delete(member.id);
    const { chain, tensors } = promised;
    const at = { term, round, step: 0, chain, stage: 0 };
    member.channel.send({ type: "state", to: member.id, ...at }, tensors);
  }
}

/** Of each member that has nothing of its copy who gives it that, in the plan's order and by turns. */
function pairsOf(plan: Plan, starts: readonly NodeStart[]): Map<Member, Pair> {
  const startOf = new Map(starts.map((start) => [start.member.id, start]));
  const nodeOf = new Map(plan.copies.map(({ id, node }) => [id, node]));
  const pairs = new Map<Member, Pair>();
  for (const { members, exchange } of plan.groups) {
    if (exchange?.home !== "first") continue;
    const sends = new Set(exchange.topology.map(({ from, to }) => `${from} ${to}`));
    const own = members.flatMap((copy) => {
      const start = startOf.get(nodeOf.get(copy) as NodeId);
      return start === undefined ? [] : [{ copy, start, isKept: start.keep.includes(copy) }];
    });
    const givers = own.filter(({ isKept }) => isKept);
    for (const { copy, start, isKept } of own) {
      if (isKept) continue;
      const { member } = start;
      const at = givers.findIndex((giver) => {
        const isEdge = sends.has(`${giver.copy} ${copy}`);
        return isEdge && canMeet(giver.start.member.hello, member.hello);
      });
      const [giver] = at < 0 ? [] : givers.splice(at, 1);
      if (giver === undefined) continue;
      // The next one is given by another, while there are some.
      givers.push(giver);
      const chain = plan.chains.find(({ stages }) => stages[0]?.copy === giver.copy)?.id;
      if (chain !== undefined) pairs.set(member, { giver: giver.start.member, chain, copy });
    }
  }
  return pairs;
}
