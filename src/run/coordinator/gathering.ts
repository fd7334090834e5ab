/**
 * When a run begins, and when it goes on after nodes were lost. A new run waits for
 * everybody; who has joined and left again is awaited for a while only, since it may be gone for
 * good and nobody else has its place. One that was under way waits until all are back, or for a
 * while; then it makes do with who is there, if they can train at all.
 */
import type { Cancel, Host } from "../host.ts";
import type { Hello } from "../wire/messages.ts";

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
  /** Who has joined and left again before the first plan. */
  readonly lost: readonly Lost[];
  /** Why those who are there cannot train; null where nobody has tried. */
  readonly problem: string | null;
  /** How long a run waits for enough nodes before it fails. */
  readonly patienceMs: number;
}

export interface GatheringDecision {
  readonly decision: "wait" | "go" | "go without" | "give up";
  readonly reason: string;
}

/** A node that was there before the first plan, and is not any more. */
export interface Lost {
  readonly name: string;
  readonly isDevice: boolean;
  /** How long it is still awaited; 0 or less where it is taken for gone. */
  readonly leftMs: number;
}

/** Nodes that were lost together come back together, within so long. */
const rejoinMs = 15_000;

/** Decides whether to train with who is there. Pure. */
export function decideGathering(at: Gathered): GatheringDecision {
  const { devices, devicesAsked, servers, serversAsked, waitedMs, missing, problem } = at;
  if (devices >= devicesAsked && servers >= serversAsked && problem === null) {
    return { decision: "go", reason: "everybody is there" };
  }
  if (waitedMs === null) return decideBeginning(at);
  if (waitedMs >= at.patienceMs) {
    const who = missing.length > 0 ? missing.join(", ") : "enough nodes to train";
    const reason = problem ?? `${who} did not come back within ${seconds(waitedMs)}`;
    return { decision: "give up", reason };
  }
  if (problem !== null) return { decision: "wait", reason: problem };
  if (devices + servers > 0 && missing.length === 0) {
    return { decision: "go", reason: "all are back" };
  }
  if (devices + servers > 0 && waitedMs >= rejoinMs) {
    return { decision: "go without", reason: `without ${missing.join(", ")}` };
  }
  return { decision: "wait", reason: `${missing.join(", ")} may come back` };
}

/** Before the first plan: whoever has not come yet is awaited as long as it takes. */
function decideBeginning(at: Gathered): GatheringDecision {
  const { devices, devicesAsked, servers, serversAsked, patienceMs } = at;
  const gone = at.lost.filter(({ leftMs }) => leftMs <= 0);
  const goneDevices = gone.filter(({ isDevice }) => isDevice).length;
  const areAllGone =
    devices + goneDevices >= devicesAsked &&
    servers + gone.length - goneDevices >= serversAsked &&
    gone.length > 0;
  if (!areAllGone) {
    return { decision: "wait", reason: `${devices} of ${devicesAsked} devices are there` };
  }
  const names = gone.map(({ name }) => name).join(", ");
  const within = patienceMs > 0 ? ` and did not come back within ${seconds(patienceMs)}` : "";
  const what = `${names}, which left before the first plan${within}`;
  return devices + servers === 0
    ? { decision: "give up", reason: `nobody is left: the run waited for ${what}` }
    : { decision: "go without", reason: `without ${what}` };
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(0)} s`;

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
  /** Who has left before the first plan, by join token. */
  readonly #lost = new Map<string, { hello: Hello; untilMs: number; timer: Cancel }>();

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

  /**
   * Somebody has left before the first plan, and may come back for as long as the run has patience.
   * @returns what is waited for, in words; null where nothing is
   */
  left(hello: Hello): string | null {
    const timer = this.#host.after(this.#patienceMs, this.#onTime);
    // The time until which, which timers keep; how long it has been is a difference, which rounding may make a hair shorter.
    const untilMs = this.#host.now() + this.#patienceMs;
    this.#lost.set(hello.token, { hello, untilMs, timer });
    if (this.#patienceMs === 0) return null;
    return `${hello.name} left before the first plan; the run begins without it after ${seconds(this.#patienceMs)}`;
  }

  /** Somebody has joined, or come back. */
  joined({ token }: Hello): void {
    this.#lost.get(token)?.timer();
    this.#lost.delete(token);
    this.changed();
  }

  /** Who is there has changed, so that another attempt may go well. */
  changed(): void {
    this.#problem = null;
  }

  /** Training goes on: the next loss is another one. */
  over(): void {
    this.#timer?.();
    for (const { timer } of this.#lost.values()) timer();
    this.#lost.clear();
    this.#sinceMs = null;
    this.#problem = null;
    this.#limitMs = this.#patienceMs;
  }

  decide(at: Omit<Gathered, "waitedMs" | "problem" | "patienceMs" | "lost">): GatheringDecision {
    const nowMs = this.#host.now();
    const lost = [...this.#lost.values()].map(({ hello, untilMs }) => {
      return { name: hello.name, isDevice: hello.kind === "device", leftMs: untilMs - nowMs };
    });
    return decideGathering({
      ...at,
      lost,
      waitedMs: this.#sinceMs === null ? null : nowMs - this.#sinceMs,
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
