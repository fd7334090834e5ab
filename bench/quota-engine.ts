/**
 * A share of a core that may change while a process runs, as a machine that is weaker than this one
 * has it, or a server that others use, too. Programs are computed for real, and each holds the engine
 * for the time that a whole core takes by its profile, divided by the share, as under a duty below 1.
 * So what other processes do to this machine shows only where they leave less than the share, and
 * that is counted.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { computeMs, type Engine, type EngineAnswer, type EngineRun, type Profile } from "edgeloom";

/** How many runs there were, and how many came too late to keep the share. */
export interface Kept {
  readonly runs: number;
  readonly late: number;
}

/** Later than this is late: timers are off by less. */
const lateMsMin = 3;

type Loaded = Parameters<Engine["load"]>[0];

export class QuotaEngine implements Engine {
  readonly description: string;
  readonly #inner: Engine;
  readonly #core: Profile;
  readonly #share: () => number;
  readonly #programs = new Map<string, Loaded[number]>();
  /** When everything that has been answered has left the engine. */
  #freeAtMs = 0;
  #runs = 0;
  #late = 0;

  /**
   * @param core how fast a whole core is
   * @param share of it, asked as each run begins; above 0
   */
  constructor(
    inner: Engine,
    { name, core, share }: { name: string; core: Profile; share: () => number },
  ) {
    // Engines of one description are taken for equally fast.
    this.description = `${inner.description}, the share of ${name}`;
    this.#inner = inner;
    this.#core = core;
    this.#share = share;
  }

  /** Since the last time that it was asked. */
  takeKept(): Kept {
    const kept = { runs: this.#runs, late: this.#late };
    [this.#runs, this.#late] = [0, 0];
    return kept;
  }

  async run(run: EngineRun): Promise<EngineAnswer> {
    const calledMs = performance.now();
    const { outputs, computeMs: ownMs } = await this.#inner.run(run);
    const program = this.#programs.get(run.program);
    const heldMs = program ? computeMs(this.#core, program) / this.#share() : ownMs;
    const now = performance.now();
    const endsMs = Math.max(calledMs, this.#freeAtMs) + heldMs;
    this.#runs++;
    if (now > endsMs + lateMsMin) this.#late++;
    this.#freeAtMs = Math.max(endsMs, now);
    if (endsMs > now) await sleep(endsMs - now);
    return { outputs, computeMs: heldMs };
  }

  load(programs: Loaded): Promise<void> {
    for (const program of programs) this.#programs.set(program.id, program);
    return this.#inner.load(programs);
  }

  write(...call: Parameters<Engine["write"]>): Promise<void> {
    return this.#inner.write(...call);
  }

  read(...call: Parameters<Engine["read"]>): ReturnType<Engine["read"]> {
    return this.#inner.read(...call);
  }

  drop(...call: Parameters<Engine["drop"]>): Promise<void> {
    return this.#inner.drop(...call);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}
