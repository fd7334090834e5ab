/**
 * When a run begins, and when it goes on after nodes were lost. A new run waits for
 * everybody. One that was under way waits until all are back, or for a while; then it makes
 * do with who is there, if they can train at all.
 */
import type { Cancel, Host } from "../host.ts";

/** All that {@link decideGathering} looks at. */
export interface Gathered {
  /** Devices and servers that are there, and how many the job asks for. */
  readonly devices: number;
  readonly devicesAsked: number;
  readonly servers: number;
  readonly serversAsked: number;
  /** How long nodes have been awaited again; null before the first plan, when everybody is awaited. */
  readonly waitedMs: number | null;
  /** Names of nodes of the last plan that are not there. */
  readonly missing: readonly string[];
  /** Why those who are there cannot train; null where nobody has tried. */
  readonly problem: string | null;
  /** How long a run waits for enough nodes before it fails. */
  readonly patienceMs: number;
}

export interface GatheringDecision {
  readonly decision: "wait" | "go" | "give up";
  readonly reason: string;
}

/** Nodes that were lost together come back together, within so long. */
const rejoinMs = 15_000;

/** Decides whether to train with who is there. Pure. */
export function decideGathering(at: Gathered): GatheringDecision {
  const { devices, devicesAsked, servers, serversAsked, waitedMs, missing, problem } = at;
  if (devices >= devicesAsked && servers >= serversAsked && problem === null) {
    return { decision: "go", reason: "everybody is there" };
  }
  if (waitedMs === null) {
    return { decision: "wait", reason: `${devices} of ${devicesAsked} devices are there` };
  }
  if (waitedMs >= at.patienceMs) {
    const waited = `within ${(waitedMs / 1000).toFixed(0)} s`;
    const reason = problem ?? `${missing.join(", ")} did not come back ${waited}`;
    return { decision: "give up", reason };
  }
  if (problem !== null) return { decision: "wait", reason: problem };
  if (devices + servers > 0 && missing.length === 0) {
    return { decision: "go", reason: "all are back" };
  }
  if (devices + servers > 0 && waitedMs >= rejoinMs) {
    return { decision: "go", reason: `without ${missing.join(", ")}` };
  }
  return { decision: "wait", reason: `${missing.join(", ")} may come back` };
}

/** Keeps the time of waiting, and asks to be looked at again when that may change the decision. */
export class Gathering {
  readonly #host: Host;
  readonly #patienceMs: number;
  readonly #onTime: () => void;
  #sinceMs: number | null = null;
  #problem: string | null = null;
  #timer: Cancel | null = null;
  /** How long it waits this time. */
  #limitMs: number;

  /** @param onTime called when time alone may have changed the decision */
  constructor(host: Host, patienceMs: number, onTime: () => void) {
    this.#host = host;
    this.#patienceMs = patienceMs;
    this.#limitMs = patienceMs;
    this.#onTime = onTime;
  }

  /** The coordinator was started again: nobody can be there yet, so there is some time in any case. */
  beginAgain(): void {
    this.#sinceMs = this.#host.now();
    this.#limitMs = Math.max(this.#patienceMs, rejoinMs);
    this.#problem = null;
    this.#wait();
  }

  /** Those who are there cannot train. @returns whether there is time left to wait for others */
  failed(problem: string): boolean {
    const nowMs = this.#host.now();
    this.#sinceMs ??= nowMs;
    if (nowMs - this.#sinceMs >= this.#limitMs) return false;
    this.#problem = problem;
    this.#wait();
    return true;
  }

  /** Who is there has changed, so that another attempt may go well. */
  changed(): void {
    this.#problem = null;
  }

  /** Training goes on: the next loss is another one. */
  over(): void {
    this.#timer?.();
    this.#sinceMs = null;
    this.#problem = null;
    this.#limitMs = this.#patienceMs;
  }

  decide(at: Omit<Gathered, "waitedMs" | "problem" | "patienceMs">): GatheringDecision {
    return decideGathering({
      ...at,
      waitedMs: this.#sinceMs === null ? null : this.#host.now() - this.#sinceMs,
      problem: this.#problem,
      patienceMs: this.#limitMs,
    });
  }

  #wait(): void {
    this.#timer?.();
    const leftMs = (this.#sinceMs ?? 0) + this.#limitMs - this.#host.now();
    this.#timer = this.#host.after(Math.max(0, Math.min(leftMs, rejoinMs)), () => {
      this.#onTime();
      if (this.#sinceMs !== null && leftMs > 0) this.#wait();
    });
  }
}
