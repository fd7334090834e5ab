/**
 * When in a round a member that makes updates by itself exchanges how far it has come, and goes on from what came of it: at once,
 * or while it trains on (`sync/streaming.ts`).
 *
 * Invariants:
 * 1. One exchange at most is under way: what came of one is gone on from before the next is shared.
 * 2. What came of an exchange is gone on from after the update that the plan says, whenever it was there.
 * 3. Where members compute for a time, each makes one update at least from one exchange to the next.
 */
import { present } from "../../base/assert.ts";
import { elementCount, type Tensor } from "../../base/tensor.ts";
import type { Port } from "../../compile/program.ts";
import type { ExchangeMember } from "../../sync/member.ts";
import { lengthOf } from "../../sync/slices.ts";
import { type ExchangeTime, fragmentSlices } from "../../sync/streaming.ts";
import type { ExchangeSetup } from "./exchange-setup.ts";
import { Stint } from "./stint.ts";

type Values = readonly Tensor["data"][];
/** Null where nothing is computed. */
type Joint = readonly Float32Array[] | null;

/** What local steps need of the exchange that they are part of. */
export interface LocalStepsAround {
  readonly member: ExchangeMember;
  /** What is trained, in the order in which it is shared. */
  readonly ports: readonly Port[];
  readonly isHollow: boolean;
  read(ports: readonly Port[], use: (values: Values) => void): void;
  write(ports: readonly Port[], values: Joint): void;
  now(): number;
  /** It took so many batches before the exchange at a place in the round, which is not what the plan says. */
  took(at: number, batches: number): void;
  /** Shares weights, as the exchange at a place in the round; tells what came of it. */
  agree(values: Values, at: number, done: (joint: Joint) => void): void;
}

/** An exchange that was shared and that nobody has gone on from. */
interface UnderWay {
  readonly time: ExchangeTime;
  /** Undefined until it is there. */
  joint?: Joint;
  /** Goes on once it is. */
  use: ((joint: Joint) => void) | null;
}

export class LocalSteps {
  readonly #setup: ExchangeSetup;
  readonly #around: LocalStepsAround;
  /** Updates of its own so far, and exchanges that were shared. */
  #updates = 0;
  #shared = 0;
  #underWay: UnderWay | null = null;
  /** Where it computes for a time; and updates of its own by the exchange before. */
  readonly #stint: Stint | null;
  #updatesBefore = 0;

  constructor(setup: ExchangeSetup, around: LocalStepsAround) {
    this.#setup = setup;
    this.#around = around;
    this.#stint = setup.pace && new Stint(setup.pace);
  }

  /** Where no number of batches ends its round, whether the last exchange does; null elsewhere. */
  get isTrained(): boolean | null {
    if (this.#stint === null) return null;
    return this.#underWay === null && this.#shared === this.#setup.times.length;
  }

  /** Before the first batch: what is shared are changes from here. */
  begin(): void {
    this.#stint?.begin(this.#around.now());
    const { isHollow, ports, member } = this.#around;
    if (isHollow) return;
    this.#around.read(ports, (weights) => member.begin(weights as readonly Float32Array[]));
  }

  /**
   * An update is done.
   * @param go goes on with the next batch
   * @param agreed does so where an exchange has just ended
   */
  after(go: () => void, agreed: () => void): void {
    this.#updates++;
    const updates = this.#plannedUpdates();
    if (this.#underWay?.time.joinedAt !== updates) return this.#shareAt(updates, go, agreed);
    this.#goOn(() => this.#shareAt(updates, agreed, agreed));
  }

  /** Updates of the plan's that are done: exchanges are timed by those. */
  #plannedUpdates(): number {
    const { times, ownUpdates, toUpdate } = this.#setup;
    if (this.#stint === null) return this.#updates / ownUpdates;
    const isOver = this.#stint.updated(this.#around.now());
    const at = this.#shared;
    if (!isOver) return times[at - 1]?.sharedAt ?? 0;
    this.#around.took(at, (this.#updates - this.#updatesBefore) * toUpdate);
    this.#updatesBefore = this.#updates;
    return present(times[at], "an exchange").sharedAt;
  }

  #shareAt(updates: number, go: () => void, agreed: () => void): void {
    const at = this.#shared;
    const time = this.#setup.times[at];
    if (time?.sharedAt !== updates) return go();
    this.#shared++;
    this.#around.read(this.#portsOf(time), (values) => {
      const underWay: UnderWay = { time, use: null };
      this.#underWay = underWay;
      this.#around.agree(this.#placed(time, values), at, (joint) => {
        underWay.joint = joint;
        underWay.use?.(joint);
      });
      if (time.joinedAt === updates) this.#goOn(agreed);
      else go();
    });
  }

  /** Goes on from what came of the exchange under way, once it is there. */
  #goOn(go: () => void): void {
    const underWay = present(this.#underWay, "an exchange under way");
    const { time, joint } = underWay;
    const use = (agreed: Joint): void => {
      this.#underWay = null;
      this.#use(time, agreed, go);
    };
    if (joint === undefined) underWay.use = use;
    else use(joint);
  }

  #use(time: ExchangeTime, agreed: Joint, go: () => void): void {
    const ports = this.#portsOf(time);
    this.#stint?.begin(this.#around.now());
    if (time.fragment === null || agreed === null) {
      this.#around.write(ports, agreed);
      return go();
    }
    this.#around.read(ports, (values) => {
      const all = this.#around.member.mixed(
        agreed,
        this.#placed(time, values) as readonly Float32Array[],
      );
      this.#around.write(ports, this.#touched(time, all));
      go();
    });
  }

  /** Whether an exchange has something of each trained tensor. */
  #isTouched({ fragment }: ExchangeTime): boolean[] {
    const counts = this.#around.ports.map(({ shape }) => elementCount(shape));
    const slices = fragmentSlices(counts, this.#setup.plan.stream, fragment);
    return slices.map((slice) => fragment === null || lengthOf(slice) > 0);
  }

  #touched<T>(time: ExchangeTime, all: readonly T[]): T[] {
    const isTouched = this.#isTouched(time);
    return all.filter((_, i) => isTouched[i]);
  }

  #portsOf(time: ExchangeTime): Port[] {
    return this.#touched(time, this.#around.ports);
  }

  /** Values of tensors that an exchange has something of, with nothing for the others. */
  #placed(time: ExchangeTime, values: Values): Values {
    let at = 0;
    return this.#isTouched(time).map((isTouched) =>
      isTouched ? (values[at++] as Tensor["data"]) : new Float32Array(0),
    );
  }
}
