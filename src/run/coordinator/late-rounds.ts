/**
 * Rounds that were committed without their late chains, which go on with them. What such a chain brings is
 * folded into the round under way by then, with less weight the older it is (`stalePartWeight`). Until it has
 * brought that, it begins no other round.
 */
import type { ChainId, CopyId, NodeId } from "../../base/ids.ts";
import { exchangingWith } from "../../plan/exchange-members.ts";
import type { Plan } from "../../plan/plan.ts";
import type { Memories } from "../link-memory.ts";
import type { Tensors } from "../wire/frame.ts";
import type { LatePart, Round } from "./round.ts";

/** A committed round that chains are still at work on. */
export interface LateRound {
  readonly round: Round;
  readonly plan: Plan;
  /** What it began with, where what is trained travels home as differences from that. */
  readonly base?: Tensors;
}

/** A late chain is given up when so many rounds have begun after its own. */
const stalenessMax = 8;

/**
 * Chains that may bring their part late: batches one at a time, so that it does not matter when the way
 * of a message changes, and copies that no other chain goes on with meanwhile.
 */
export function mayFold(plan: Plan, chain: ChainId): boolean {
  const own = plan.chains.find(({ id }) => id === chain);
  if (own?.schedule !== "serial") return false;
  // Who is late in an exchange waits for neighbours that have gone on.
  if (exchangingWith(plan, chain).length > 1) return false;
  const uses = new Map<string, number>();
  for (const { stages } of plan.chains) {
    for (const { copy } of stages) uses.set(copy, (uses.get(copy) ?? 0) + 1);
  }
  return own.stages.every(({ copy, merge }) => merge === undefined && uses.get(copy) === 1);
}

export class LateRounds {
  #rounds: LateRound[] = [];

  /** A round has been committed. */
  add(late: LateRound): void {
    if (late.round.late.length > 0) this.#rounds.push(late);
  }

  /** The late round that a message is about. */
  find({ term, round }: { term: number; round: number }): LateRound | undefined {
    return this.#rounds.find((late) => late.plan.term === term && late.round.number === round);
  }

  /** Chains that are still at work, and the number of their round. */
  get busy(): Map<ChainId, number> {
    return new Map(
      this.#rounds.flatMap(({ round }) =>
        round.late.map((chain) => [chain, round.number] as const),
      ),
    );
  }

  /** Chains of a plan that go on with an earlier round, and their copies. */
  goingIn({ chains }: Plan): { chains: ChainId[]; copies: ReadonlySet<CopyId> } {
    const { busy } = this;
    const going = busy.size === 0 ? [] : chains.filter(({ id }) => busy.has(id));
    const copies = going.flatMap(({ stages }) => stages.map(({ copy }) => copy));
    return { chains: going.map(({ id }) => id), copies: new Set(copies) };
  }

  /** Batches that a source will have drawn with the rounds that it is late with; null where it is not late. */
  drawn(source: NodeId): number | null {
    const drawn = this.#rounds.flatMap(({ round }) =>
      round.hasLate ? (round.drawn(source) ?? []) : [],
    );
    return drawn.length === 0 ? null : Math.max(...drawn);
  }

  /** Takes what has been brought by now, oldest first; it is brought once. */
  take(samplesOf: (node: NodeId) => number): LatePart[] {
    return this.#rounds.flatMap(({ round }) => {
      const parts = round.foldable(samplesOf);
      for (const { part } of parts) round.drop(part.chain, `folded into a later round`);
      return parts;
    });
  }

  /** What codecs have come to remember in what is not taken yet, oldest first: a chain that has brought its part goes on from there. */
  memories(): Memories[] {
    return this.#rounds.map(({ round }) => round.lateMemories());
  }

  /** Gives up who is too far behind as a round begins. @returns what was given up */
  expire(number: number): { late: LateRound; chain: ChainId }[] {
    this.#rounds = this.#rounds.filter(({ round }) => round.hasLate);
    const old = this.#rounds.filter(({ round }) => number - round.number > stalenessMax);
    return old.flatMap((late) =>
      late.round.late.map((chain) => {
        late.round.drop(chain, `more than ${stalenessMax} rounds late`);
        return { late, chain };
      }),
    );
  }

  /** A node is gone, and with it what its chains had to bring. @returns those chains */
  left(node: NodeId): { late: LateRound; chain: ChainId }[] {
    return this.#rounds.flatMap((late) =>
      late.round.late
        .filter((chain) => late.round.nodesOf(chain).includes(node))
        .map((chain) => {
          late.round.drop(chain, "a node of it left");
          return { late, chain };
        }),
    );
  }

  /** Another plan is in force, or none any more: what belongs to this one is void. */
  clear(): void {
    this.#rounds = [];
  }
}
