/**
 * A copy's tensors in the engine: which are there, where, and in how many versions.
 *
 * With several batches under way, an update must not touch the parameters that a batch went forward
 * with until it has come back (weight stashing: Narayanan et al., "PipeDream", 2019). So what
 * updates move may be there in several versions, each in a place of its own. A place is used again
 * once nobody needs what is in it; with one batch at a time there is one place, and updates happen
 * in it. Everything else (optimizer state, running statistics, what is frozen) has one version.
 *
 * Between rounds the tensors stay, over changes of plan as well, so that only what a copy lacks has
 * to come with the next round.
 *
 * Where what is trained travels home as a difference, what the round began with is kept beside the
 * engine, and the copy goes on from what comes of it with its rounded difference: that is what the
 * coordinator has.
 */
import { present } from "../../base/assert.ts";
import type { CopyId } from "../../base/ids.ts";
import {
  cloneTensor,
  type DenseTensor,
  hollow,
  sameType,
  type Tensor,
  type TensorType,
  zeros,
} from "../../base/tensor.ts";
import type { Port } from "../../compile/program.ts";
import type { Slot } from "../host.ts";
import type { UpdateCoding } from "../update-coding.ts";
import type { Tensors } from "../wire/frame.ts";

/** Every slot of a stage starts with this. */
const stageSlotPrefix = "stage|";

/** What a stage keeps in the engine beside trained tensors: of its batches, sums of gradients, and weights to try. */
const stageSpaces = ["in", "saved", "gradient", "parameterGradient", "mixed"] as const;
type StageSpace = (typeof stageSpaces)[number];

/** Place of a version, from 0. */
export type Place = number;

/** A tensor that a stage's programs take in, under its name in the model. */
export interface NeededTensor extends TensorType {
  readonly of: string;
  readonly role?: Port["role"];
}

/** How a round begins for a copy. */
export interface CopyStart {
  /** Whether what it has serves, where nothing else came. */
  readonly isKept: boolean;
  /** Whether optimizer state lasts for a round, so that what did not come is zero also where the copy is kept. */
  readonly isRenewed?: boolean;
  /** Whether tensors need no values: in a world where nothing is computed. */
  readonly isHollow: boolean;
  /** What comes later, before the round starts. */
  readonly awaited?: ReadonlySet<string>;
  /** What came ahead, for what it neither has nor is sent. */
  readonly precopied: Tensors;
}

/** What a copy must know of its model. */
export interface CopyModel {
  /** Names of the parameters that updates move. */
  readonly trained: ReadonlySet<string>;
  readonly updates: UpdateCoding;
}

/** What a copy brings to a round. */
export interface Brought {
  readonly id: CopyId;
  readonly round: number;
  /** Its trained tensors as the engine has them. */
  readonly values: Tensors;
}

export class CopyTensors {
  readonly #prefix: Slot;
  readonly #model: CopyModel;
  readonly #held = new Set<string>();
  /** What the round began with, of what travels home as a difference. */
  readonly #base = new Map<string, Tensor>();
  /** Batches under way that need what is in each place. */
  #users: number[] = [0];
  #newest: Place = 0;
  /** Whether what is held is what the copy brought to a round, and nothing has changed it since. */
  #isSettled = false;

  constructor(copy: CopyId, model: CopyModel) {
    this.#prefix = `${stageSlotPrefix}${copy}|`;
    this.#model = model;
  }

  /** Whether it goes on from what it has trained as it is. */
  get isWhole(): boolean {
    return this.#model.updates.isWhole;
  }

  /** The slot of a tensor: of its newest version, or of that in a place. */
  slot(of: string, place: Place = this.#newest): Slot {
    // The bar at the end keeps one name from being the start of another.
    return `${this.#prefix}trained|${this.#model.trained.has(of) ? place : 0}|${of}|`;
  }

  /** Whether updates move a parameter. */
  isMoved(of: string): boolean {
    return this.#model.trained.has(of);
  }

  /** The slot of something else that the stage keeps in the engine. */
  spaceSlot(space: StageSpace, place: number, of: string): Slot {
    return `${this.#prefix}${space}|${place}|${of}`;
  }

  /** Where the newest version is. */
  get newest(): Place {
    return this.#newest;
  }

  /**
   * A round begins, with tensors that came for it. Where the copy is kept, those that did not come
   * are the ones that it has; elsewhere optimizer state that did not come is zero yet.
   * @returns what to write into the engine; the name of a tensor that is missing or of a wrong type
   */
  begin(
    needed: readonly NeededTensor[],
    tensors: Tensors,
    { isKept, isRenewed = false, isHollow, precopied, awaited = new Set() }: CopyStart,
  ): ReadonlyMap<Slot, Tensor> | string {
    if (!isKept || !this.#isSettled) this.#forget();
    const slots = new Map<Slot, Tensor>();
    for (const port of needed) {
      if (awaited.has(port.of)) continue;
      const isHere = this.#held.has(port.of);
      const value = tensors.get(port.of) ?? (isHere ? undefined : precopied.get(port.of));
      if (value !== undefined && sameType(value, port)) this.#take(slots, port.of, value);
      else if (value !== undefined) return port.of;
      else if (isHere && !(isRenewed && port.role === "state")) continue;
      else if (port.role !== "state") return port.of;
      else this.#take(slots, port.of, isHollow ? hollow(port) : zeros(port));
    }
    for (const { of } of needed) this.#held.add(of);
    this.#isSettled = false;
    return slots;
  }

  /** What was awaited is there. @returns as `begin` does */
  fill(needed: readonly NeededTensor[], tensors: Tensors): ReadonlyMap<Slot, Tensor> | string {
    const slots = new Map<Slot, Tensor>();
    for (const port of needed) {
      const value = tensors.get(port.of);
      if (value === undefined) continue;
      if (!sameType(value, port)) return port.of;
      this.#take(slots, port.of, value);
    }
    return slots;
  }

  /** A tensor goes into the engine, which takes over its memory. */
  #take(slots: Map<Slot, Tensor>, of: string, value: Tensor): void {
    if (this.#model.updates.isCoded(of)) this.#base.set(of, copied(value));
    slots.set(this.slot(of), value);
  }

  /** What leaves of what the copy has come to. */
  encoded({ id, round, values }: Brought): Tensors {
    const baseOf = (name: string): Tensor => this.#baseOf(name);
    return this.#model.updates.encode({ values, baseOf }, { copy: id, round });
  }

  /**
   * The round's work is done, and has left.
   * @returns what to write into the engine, as that is what the next round goes on from
   */
  goOnFrom({ values }: Brought, sent: Tensors): Map<Slot, Tensor> {
    const { updates } = this.#model;
    const slots = new Map<Slot, Tensor>();
    for (const [name, type] of values) {
      if (!updates.isCoded(name)) continue;
      const next = updates.decode(sent, { name, type, base: this.#baseOf(name) });
      this.#take(slots, name, present(next, name));
    }
    return slots;
  }

  #baseOf(name: string): Tensor {
    return present(this.#base.get(name), name);
  }

  #forget(): void {
    this.#base.clear();
    this.#held.clear();
    this.#users = [0];
    this.#newest = 0;
  }

  /** A batch goes forward with the newest version and will need it again. @returns its place */
  take(): Place {
    this.#users[this.#newest] = this.#usersOf(this.#newest) + 1;
    return this.#newest;
  }

  /** A batch that took what is there is done with it. */
  release(place: Place): void {
    this.#users[place] = this.#usersOf(place) - 1;
  }

  /** A new version comes to be. @returns where: in place of the last one, where nobody needs that any more */
  advance(): Place {
    if (this.#usersOf(this.#newest) > 0) {
      const free = this.#users.indexOf(0);
      this.#newest = free < 0 ? this.#users.push(0) - 1 : free;
    }
    return this.#newest;
  }

  #usersOf(place: Place): number {
    return present(this.#users[place], "a place of a version");
  }

  /** The round's work is done: what is held is what the copy brings. */
  settle(): void {
    this.#isSettled = true;
  }

  /**
   * A new plan, under which the copy needs other tensors, perhaps none.
   * @returns prefixes of the slots to drop; what is held and still needed stays
   */
  retire(needed: ReadonlySet<string>): Slot[] {
    if (!this.#isSettled) this.#forget();
    if (!this.#isSettled || needed.size === 0) return [this.#prefix];
    const spaces = stageSpaces.map((space) => `${this.#prefix}${space}|`);
    const gone = [...this.#held].filter((of) => !needed.has(of));
    const old = this.#users.flatMap((_, place) =>
      place === this.#newest
        ? []
        : [...this.#held]
            .filter((of) => this.#model.trained.has(of))
            .map((of) => this.slot(of, place)),
    );
    const dropped = [...spaces, ...gone.map((of) => this.slot(of)), ...old];
    for (const of of gone) {
      this.#held.delete(of);
      this.#base.delete(of);
    }
    return dropped;
  }
}

const copied = (value: Tensor): Tensor =>
  value.data === null ? value : cloneTensor(value as DenseTensor);
