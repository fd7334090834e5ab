/**
 * What the codecs of chains remember, as the coordinator has it: what committed rounds have brought, and which nodes have
 * it themselves. A stage that is new to a node, and one whose round came to nothing, is sent it with the next begin.
 */
import { InputError } from "../../base/errors.ts";
import { isAllFinite } from "../../base/finite.ts";
import { groupBy } from "../../base/group.ts";
import type { ChainId, NodeId } from "../../base/ids.ts";
import type { Tensor } from "../../base/tensor.ts";
import { rowLengthOf } from "../../codec/link-codec.ts";
import { RowMemory, type SavedRows } from "../../codec/row-memory.ts";
import type { SegmentCost } from "../../compile/segment.ts";
import type { Plan } from "../../plan/plan.ts";
import {
  isKeysAlone,
  type LinkEnd,
  type Memories,
  type MemoryRules,
  memoryName,
  putMemory,
  rememberingEnds,
  roomFor,
  withRows,
} from "../link-memory.ts";
import type { Participant } from "../metrics/record.ts";
import type { ContributionMessage } from "../wire/messages.ts";
import type { BegunRound } from "./kept.ts";
import type { Member } from "./members.ts";
import type { LatePart, Round } from "./round.ts";

/** What the model and the job say of memory. */
export interface RememberedRules extends MemoryRules {
  readonly costs: readonly Pick<SegmentCost, "outputs">[];
}

/** What committed rounds have come to. */
interface CommittedMemory {
  memory(name: string): SavedRows | undefined;
}

/** A round under way, and what has been brought of it so far. */
export interface OpenMemories extends BegunRound {
  readonly memories: Memories;
  /** Copies that have brought theirs. */
  readonly brought: ReadonlySet<string>;
}

/** What has been brought that no complete round has yet. */
export interface NewerMemories {
  /** The round before, where that is not complete. */
  readonly open: OpenMemories | null;
  /** Of late parts that the next complete round takes, oldest first. */
  readonly late: readonly Memories[];
}

/** A round that is complete, and what its chains have brought of memory. */
export interface MadeRound {
  readonly plan: Plan;
  readonly memories: readonly {
    readonly chain: ChainId;
    /** Whether it is of an earlier round. */
    readonly isLate: boolean;
    readonly came: Memories;
  }[];
}

/** What a node is told of memory as a round begins. */
export interface MemoryStart {
  /** Chains that go on with what the node has. */
  readonly remembers: ChainId[];
  /** What it lacks of others. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** Whether that has still to come from others. */
  readonly isAwaited: boolean;
}

type MemberOf = (node: NodeId) => Member | undefined;

export class Remembered {
  readonly #state: CommittedMemory;
  readonly #rules: RememberedRules;
  /** What complete rounds have brought, which may not be written down yet. */
  readonly #newest = new Map<string, SavedRows>();
  /** By chain: nodes that have what the last round gave, each with the names of its ends. */
  readonly #held = new Map<ChainId, Map<Member, string>>();
  readonly #ends = new WeakMap<Plan, ReadonlyMap<ChainId, readonly LinkEnd[]>>();

  constructor(state: CommittedMemory, rules: RememberedRules) {
    this.#state = state;
    this.#rules = rules;
  }

  #endsOf(plan: Plan): ReadonlyMap<ChainId, readonly LinkEnd[]> {
    const ends = this.#ends.get(plan) ?? rememberingEnds(plan);
    this.#ends.set(plan, ends);
    return ends;
  }

  /** What is wrong with what a copy brings of its links' memory, in words; null where nothing is. */
  problem(
    plan: Plan,
    { chain, copy }: Pick<ContributionMessage, "chain" | "copy">,
    came: Memories,
  ): string | null {
    if (came.size === 0) return null;
    const ends = this.#endsOf(plan).get(chain as ChainId) ?? [];
    for (const [name, saved] of came) {
      const place = placeIn(name);
      const end = ends.find((own) => own.copy === copy && memoryName(own, place) === name);
      const memory = end && this.#memoryFor(end, place, saved);
      if (!memory) return `${name}, which it has not`;
      const rows = saved.get("rows");
      if (rows !== undefined && !isAllFinite(rows)) return `${name}, which is not finite`;
      try {
        memory.restore(saved);
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        return `${name}: ${error.message}`;
      }
    }
    return null;
  }

  /** An empty memory for what an end has saved; null where no such tensor crosses its border. */
  #memoryFor(end: LinkEnd, place: number, saved: SavedRows): RowMemory | null {
    const { outputs = [] } = this.#rules.costs[end.cut - 1] ?? {};
    const length = saved.get("rows")?.shape[1];
    const type =
      end.way === "up" ? outputs[place] : outputs.find((one) => rowLengthOf(one) === length);
    if (type === undefined) return null;
    const { rowLength, capacity } = roomFor(end, type, this.#rules);
    return new RowMemory(isKeysAlone(end) ? 0 : rowLength, capacity);
  }

  /**
   * What a node begins a round with.
   * @param part of the round's plan, with the node's own chains that begin it
   * @param newer what complete rounds do not have yet
   */
  start(member: Member, part: Plan, { open, late }: NewerMemories): MemoryStart {
    const newer = open === null ? late : [...late, open.memories];
    const remembers: ChainId[] = [];
    const tensors = new Map<string, Tensor>();
    let isAwaited = false;
    for (const [chain, all] of this.#endsOf(part)) {
      const ends = all.filter(({ node }) => node === member.id);
      if (ends.length === 0) continue;
      if (this.#heldBy(member, chain, open) === namesOf(ends)) {
        remembers.push(chain);
        continue;
      }
      const before = open === null ? [] : (this.#endsOf(open.plan).get(chain) ?? []);
      if (before.some(({ copy }) => open?.brought.has(copy) === false)) isAwaited = true;
      for (const end of ends) this.#put(tensors, end, newer);
    }
    return { remembers, tensors, isAwaited };
  }

  /** The names of a chain's ends of which a node has what the round before gave. */
  #heldBy(member: Member, chain: ChainId, open: OpenMemories | null): string | undefined {
    const ends = open === null ? undefined : this.#endsOf(open.plan).get(chain);
    if (ends === undefined) return this.#held.get(chain)?.get(member);
    if (open?.began.get(member.id) !== member) return undefined;
    return namesOf(ends.filter(({ node }) => node === member.id));
  }

  /** What an end goes on from, of all tensors at its border. */
  #put(out: Map<string, Tensor>, end: LinkEnd, newer: readonly Memories[]): void {
    const places = this.#rules.costs[end.cut - 1]?.outputs.length ?? 0;
    for (let place = 0; place < places; place++) {
      const saved = this.#latest(end, place, newer);
      if (saved === undefined) continue;
      if (!isKeysAlone(end)) putMemory(out, memoryName(end, place), saved);
      else {
        const rows = this.#latest({ ...end, side: "receiver" }, place, newer);
        if (rows !== undefined) putMemory(out, memoryName(end, place), withRows(saved, rows));
      }
    }
  }

  #latest(end: LinkEnd, place: number, newer: readonly Memories[]): SavedRows | undefined {
    const name = memoryName(end, place);
    return newer.reduce<SavedRows | undefined>((older, memories) => {
      const came = memories.get(name);
      return came === undefined ? older : this.#joined(end, place, older, came);
    }, this.#newest.get(name) ?? this.#state.memory(name));
  }

  #joined(end: LinkEnd, place: number, older: SavedRows | undefined, came: SavedRows): SavedRows {
    const memory = this.#memoryFor(end, place, came);
    if (memory === null) return came;
    if (older !== undefined) memory.restore(older);
    memory.renew(came);
    return memory.save();
  }

  /** A round begins under a plan: what its chains have is on its way to something else. */
  begun(plan: Plan, chains: readonly { readonly id: ChainId }[]): void {
    const planned = new Set(plan.chains.map(({ id }) => id));
    for (const chain of this.#held.keys()) if (!planned.has(chain)) this.#held.delete(chain);
    for (const { id } of chains) this.#held.delete(id);
  }

  /**
   * A round is complete: what its chains have brought is what they go on from.
   * @param memberOf nodes that have it, too; null where it has been changed there
   * @returns that, by name
   */
  made({ plan, memories }: MadeRound, memberOf: MemberOf | null): Map<string, Tensor> {
    const out = new Map<string, Tensor>();
    for (const { chain, isLate, came } of memories) {
      const ends = this.#endsOf(plan).get(chain) ?? [];
      for (const [name, saved] of came) {
        const place = placeIn(name);
        const end = ends.find((own) => memoryName(own, place) === name);
        if (end === undefined) continue;
        const older = this.#newest.get(name) ?? this.#state.memory(name);
        const next = this.#joined(end, place, older, saved);
        this.#newest.set(name, next);
        putMemory(out, name, next);
      }
      if (!isLate && memberOf !== null) this.#hold(chain, ends, memberOf);
    }
    return out;
  }

  #hold(chain: ChainId, ends: readonly LinkEnd[], memberOf: MemberOf): void {
    const held = new Map<Member, string>();
    for (const [node, own] of groupBy(ends, (end) => end.node)) {
      const member = memberOf(node);
      if (member !== undefined) held.set(member, namesOf(own));
    }
    this.#held.set(chain, held);
  }
}

/** What codecs have come to remember in a round that is not complete. */
export const openMemories = ({
  plan,
  began,
  round,
}: BegunRound & { readonly round: Round }): OpenMemories => ({
  plan,
  began,
  memories: round.memories(),
  brought: new Set(round.brought().keys()),
});

/** What they have come to by chain, of those who made the round and of those who made an earlier one late. */
export const memoriesOf = (
  round: Round,
  participants: readonly Participant[],
  late: readonly LatePart[],
): MadeRound["memories"] => [
  // Who was late in an earlier round had brought that before it began this one.
  ...late.map(({ part, memories }) => ({ chain: part.chain, isLate: true, came: memories })),
  ...participants.map(({ chain }) => ({ chain, isLate: false, came: round.memories(chain) })),
];

/** What `begin` says of memory: nothing where none is held. */
export const rememberedIn = ({ remembers }: MemoryStart): { remembers?: ChainId[] } =>
  remembers.length === 0 ? {} : { remembers };

const namesOf = (ends: readonly LinkEnd[]): string =>
  ends.map((end) => memoryName(end, 0)).join(" ");

const placeIn = (name: string): number => Number(name.slice(name.lastIndexOf("|") + 1));
